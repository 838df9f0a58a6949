"""What a model is and what of it the engine loads: read from its files, without the engine."""
