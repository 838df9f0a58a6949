"""Reading of a model's `config.json` and its neighbours."""
