"""Read what a model is, and what the engine loads of it, from its files and without the engine."""
