"""`nim cache`: list the models in the cache, verify their digests, remove what no start uses."""

import argparse
import json
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nim.engine import service_links
from nim.errors import PreflightError, SettingsError, WeightsError, nearest
from nim.fetch.cache.cached_models import CachedModel, Damage, list_models, verify_model
from nim.fetch.cache.prune_cache import Unused, find_unused, is_being_fetched, remove, remove_damaged
from nim.fetch.format_size import format_size
from nim.log_format import printable
from nim.models.hub.repositories_to_download import cache_of
from nim.options.derived_options import cache_entries
from nim.options.option_layers import environment_entries
from nim.options.resolve_layers import resolve
from nim.planning.read_host_facts import read_host_facts
from nim.preflight.check_mounts import Place, probe
from nim.settings import Settings, read_settings

ABOUT = f"""\
{__doc__}

  nim cache list              every model: URI, version, size, what it takes on the disk
  nim cache verify [URI …]    read every file, and compare its digest with the source's
  nim cache prune [URI …]     remove older versions and abandoned downloads; with URIs, those models

The cache is that of a start here (NIM_CACHE_PATH), the hub's part of it included. No network is used."""


def run(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run `nim cache`; return 0, or the code of WeightsError if a file is damaged."""
    options = _parser().parse_args(arguments)
    settings = read_settings(environ)
    cache_dir, hub_cache = _directories(settings, environ)
    probe(iter((Place(path=cache_dir, variable="NIM_CACHE_PATH"),)), settings.cache_probe_timeout)
    models = list_models(cache_dir, hub_cache)
    if options.action == "list":
        rows = [_row(model) for model in models]
        _print(options, {"cache": str(cache_dir), "models": rows}, _listing(models))
        return 0
    chosen = _chosen(models, options.uris)
    if options.action == "verify":
        return _verify(chosen, options)
    return _prune(chosen, options)


def _parser() -> argparse.ArgumentParser:
    """Return the ArgumentParser of `nim cache`."""
    parser = argparse.ArgumentParser(
        prog="nim cache", description=ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="list every model")
    verify = actions.add_parser("verify", help="compare the digest of each file")
    verify.add_argument(
        "--remove", action="store_true", help="remove damaged files, so that a fetch gets them"
    )
    prune = actions.add_parser("prune", help="remove what no start uses")
    prune.add_argument("--dry-run", action="store_true", help="list it, and remove nothing")
    for action in (verify, prune):
        action.add_argument(
            "uris", nargs="*", metavar="URI", help="only these models, as `nim cache list` has them"
        )
    for action in (listing, verify, prune):
        action.add_argument("--json", action="store_true", help="print the result as JSON")
    return parser


def _directories(settings: Settings, environ: Mapping[str, str]) -> tuple[Path, Path]:
    """Return (the cache, the hub's cache) of a start."""
    host = read_host_facts(settings, environ)
    cache = tuple(cache_entries(host))
    config = resolve((*cache, *environment_entries(environ, cache, service_links(environ))))
    return Path(host.cache_dir), Path(cache_of(config, environ))


def _chosen(models: Sequence[CachedModel], uris: Sequence[str]) -> list[CachedModel]:
    """Return the models of these URIs, all without any; SettingsError for one that is not in the cache."""
    found = {model.uri: model for model in models}
    for uri in uris:
        if uri.rstrip("/") not in found:
            raise SettingsError(
                f"cannot find {uri} in the cache", allowed=nearest(uri, list(found)), hint="nim cache list"
            )
    return [found[uri.rstrip("/")] for uri in uris] if uris else list(models)


def _verify(models: Iterable[CachedModel], options: argparse.Namespace) -> int:
    """Read all files, say which are damaged; return 0, or the code of WeightsError."""
    damaged: list[Damage] = []
    rows = []
    for model in models:
        results = list(verify_model(model))
        bad = [damage for _, damage in results if damage]
        damaged += bad
        rows.append({"uri": model.uri, "files": len(results), "damaged": [_damage_row(one) for one in bad]})
        if not options.json:
            _say(f"{model.uri}: {len(results)} files, {len(bad)} damaged", [_damage_text(one) for one in bad])
    if options.remove:
        for damage in damaged:
            remove_damaged(damage)
    if options.json:
        print(json.dumps({"models": rows}, indent=1))
    elif damaged:
        then = "nim fetch" if options.remove else "nim cache verify --remove, then nim fetch"
        print(printable(f"nim: {len(damaged)} files are damaged\n  hint: {then}"), file=sys.stderr)
    return WeightsError.exit_code if damaged else 0


def _prune(models: Sequence[CachedModel], options: argparse.Namespace) -> int:
    """Remove what no start uses, or the models that were named; return 0. PreflightError if that fails."""
    if options.uris:
        if busy := next((model for model in models if is_being_fetched(model)), None):
            raise SettingsError(
                f"cannot remove {busy.uri}: it is being fetched", hint="the same command, later"
            )
        found = [
            Unused(path=model.directory, why="named on the command line", used_bytes=model.used_bytes)
            for model in models
        ]
    else:
        found = [one for model in models for one in find_unused(model, time.time())]
    for one in () if options.dry_run else found:
        try:
            remove(one.path)
        except OSError as error:
            raise PreflightError(
                f"cannot remove '{error.filename}': {error.strerror}",
                hint=f"ls -ld '{one.path}'; its owner can remove it",
            ) from error
    total = sum(one.used_bytes for one in found)
    rows = [{"path": str(one.path), "why": one.why, "bytes": one.used_bytes} for one in found]
    what = "would be removed" if options.dry_run else "removed"
    lines = [f"{one.path}: {format_size(one.used_bytes)}, {one.why}" for one in found]
    text = "\n".join([*lines, f"{format_size(total)} {what}"])
    _print(options, {"dry_run": options.dry_run, "removed": rows, "bytes": total}, text)
    return 0


def _row(model: CachedModel) -> dict[str, Any]:
    """Return a model as a dict."""
    return {
        "uri": model.uri,
        "directory": str(model.directory),
        "version": model.version,
        "files": model.files,
        "bytes": model.total_bytes,
        "used_bytes": model.used_bytes,
    }


def _listing(models: Sequence[CachedModel]) -> str:
    """Return the models as text for people."""
    lines = []
    for model in models:
        version = model.version[:12] if model.version else "not complete"
        size = f"{model.files} files, {format_size(model.total_bytes)}"
        more = f" ({format_size(model.used_bytes)} on the disk)"
        lines.append(f"{model.uri}: {version}, {size}{more}")
    return "\n".join(lines or ["nothing is in the cache"])


def _damage_row(damage: Damage) -> dict[str, Any]:
    """Return a damaged file as a dict."""
    return {"path": str(damage.path), "expected": damage.expected, "found": damage.found}


def _damage_text(damage: Damage) -> str:
    """Return a damaged file as text."""
    return f"{damage.path}: {damage.found or 'missing'}, expected {damage.expected}"


def _say(line: str, below: Sequence[str]) -> None:
    """Print a line, and those below it indented."""
    print(printable("\n  ".join([line, *below])), flush=True)


def _print(options: argparse.Namespace, data: Mapping[str, Any], text: str) -> None:
    """Print the data as JSON if that was asked for, else the text."""
    print(json.dumps(data, indent=1) if options.json else printable(text))
