"""The roof: the verbs. They join the rooms and decide nothing."""

from nim.cli.main import create_model_store, download_to_cache, list_model_profiles, main, nim_serve

__all__ = ["create_model_store", "download_to_cache", "list_model_profiles", "main", "nim_serve"]
