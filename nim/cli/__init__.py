"""The roof: the verbs. They join the rooms and decide nothing."""

from nim.cli.main import list_model_profiles, main, nim_serve

__all__ = ["list_model_profiles", "main", "nim_serve"]
