"""A model's files: which of them the engine loads, how large they are, and whether it can load them."""
