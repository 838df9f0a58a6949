"""Commands of `nim`: argument parsing and printing."""

from nim.cli.main import (
    create_model_store,
    download_to_cache,
    huggingface_cli,
    list_model_profiles,
    main,
    nim_serve,
)

__all__ = [
    "create_model_store",
    "download_to_cache",
    "huggingface_cli",
    "list_model_profiles",
    "main",
    "nim_serve",
]
