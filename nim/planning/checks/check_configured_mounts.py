"""Refuse a start whose configured directories are on a mount that does not respond."""

from collections.abc import Iterator
from pathlib import Path

from nim.planning.plan_request import Request
from nim.preflight.check_mounts import Place, probe

# Settings that may name files or directories of the user's.
READ = ("manifest_path", "model_path", "model_name", "peft_source")


def probe_mounts(request: Request, **options: str | None) -> None:
    """Raise PreflightError if a path in settings or arguments is on a mount that does not respond."""
    named = [(text, f"--{name.replace('_', '-')}") for name, text in options.items() if text]
    probe(_places(request, named), request.settings.cache_probe_timeout)


def _places(request: Request, named: list[tuple[str, str]]) -> Iterator[Place]:
    """Yield a Place for each path in settings, `named` options and arguments."""
    settings = request.settings
    named += [
        (getattr(settings, field), name) for field, name in settings.names_used.items() if field in READ
    ]
    # Any word may be the model, behind a `vllm serve` that was pasted with it.
    named += [(word, "NIM_PASSTHROUGH_ARGS") for word in (settings.passthrough_args or "").split()]
    for text, name in [*named, *((word, "the command line") for word in request.arguments)]:
        if "/" in text and "://" not in text and not text.startswith("-"):
            yield Place(path=Path(text), variable=name)
