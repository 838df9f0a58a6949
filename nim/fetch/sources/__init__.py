"""Sources of model files: object stores, web servers, ModelScope and NGC, behind one interface."""
