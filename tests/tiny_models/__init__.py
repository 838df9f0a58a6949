"""Tiny models with random weights, one of each kind that the engine serves, made in seconds."""
