"""Judge a model's files: which of them the engine loads, how large they are, whether it can load them."""
