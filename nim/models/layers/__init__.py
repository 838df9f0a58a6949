"""The layers of a model, and the caches that each keeps of a sequence."""

from nim.models.layers.model_layers import read_layers

__all__ = ["read_layers"]
