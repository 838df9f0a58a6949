"""`nim mirror`: copy models with their checksums to a bucket or directory, for NIM_REPOSITORY_OVERRIDE."""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nim.cli.download_from_hub import Hub, check_cache, end_at_signals, logger
from nim.cli.download_remote import fetch_remote, remote_files
from nim.cli.machine_options import add_machine_options, find_hardware, is_other_machine
from nim.cli.profile_options import add_profile_choice
from nim.errors import SettingsError
from nim.fetch.format_size import format_size
from nim.fetch.sources.mirrors import mirror_uri
from nim.fetch.sources.open_target import open_target
from nim.fetch.write_mirror import Mirrored, write_mirror
from nim.log_format import printable
from nim.models.remote.uris import EXAMPLES, OBJECT_STORES, is_remote, normal_uri
from nim.planning.checks.check_configured_mounts import probe_mounts
from nim.planning.find_repositories_to_fetch import Choice, Sources, find_sources
from nim.planning.plan_request import Request
from nim.settings import Settings, read_settings

ABOUT = f"""\
{__doc__}

The model and its profile are chosen as by `nim fetch`, and fetched into the cache first. Each model goes
below TARGET, by scheme, name and revision, with a SHA256SUMS file that is written last. What TARGET has
already is not copied again. Services then take it from there: NIM_REPOSITORY_OVERRIDE=TARGET."""


def run(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run `nim mirror`: copy the files of the chosen models; return 0."""
    options = _parser().parse_args(arguments)
    settings = read_settings(environ)
    end_at_signals(settings)
    target = _target(options.target)
    request = Request(
        settings=settings,
        environ=environ,
        hardware=find_hardware(options, environ),
        other_machine=is_other_machine(options),
    )
    probe_mounts(request, model_uri=options.model_uri)
    choice = Choice(
        names=tuple(options.profiles),
        every=options.all,
        model=options.model_uri,
        model_option="--model-uri",
    )
    sources = find_sources(request, choice)
    rows = [
        _row(uri, mirror_uri(target, uri), files, environ)
        for uri, files in _fetched(sources, settings, environ).items()
    ]
    print(json.dumps({"models": rows}, indent=1) if options.json else printable(_text(rows, target)))
    return 0


def _parser() -> argparse.ArgumentParser:
    """Return the ArgumentParser of `nim mirror`."""
    parser = argparse.ArgumentParser(
        prog="nim mirror", description=ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", metavar="TARGET", help="a directory, s3://…, gs://… or az://…")
    add_profile_choice(parser, "copy")
    parser.add_argument(
        "--model-uri", metavar="URI", help="hf://org/name[:revision], s3://… or another source"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    add_machine_options(parser)
    return parser


def _target(text: str) -> str:
    """Return the target as an absolute directory or a URI; SettingsError for what cannot be written to."""
    if "://" not in text:
        return str(Path(text).absolute())
    scheme = text.partition("://")[0]
    uri = normal_uri(text) if is_remote(text) and scheme in OBJECT_STORES else None
    if uri is None:
        raise SettingsError(
            f"cannot use TARGET '{text}': it is nothing to copy to",
            allowed=("a directory", *(EXAMPLES[one] for one in OBJECT_STORES)),
            hint="nim mirror s3://BUCKET/DIRECTORY",
        )
    return uri


def _fetched(sources: Sources, settings: Settings, environ: Mapping[str, str]) -> dict[str, dict[str, Path]]:
    """Fetch all models into the cache; return {URI: {name: path in the cache}}."""
    log = logger(settings, environ)
    for warning in sources.warnings:
        log("WARNING", warning)
    found: dict[str, dict[str, Path]] = {}
    for remote in sources.remotes:
        fetch_remote(remote, settings, environ, log)
        found[remote.uri] = remote_files(remote)[0]
    if sources.wanted:
        check_cache(sources.wanted, settings)
        hub = Hub(log, environ, sources.env)
        for wanted in sources.wanted:
            repository = hub.needed(wanted)
            hub.check_room([repository])
            hub.fetch(repository)
            found[wanted.uri] = {name: repository.snapshot / name for name in repository.files}
    if not found:
        raise SettingsError(
            f"cannot mirror {', '.join(sources.directories)}: that is a directory already",
            hint="nim mirror TARGET --model-uri hf://org/name",
        )
    return found


def _row(uri: str, place: str, files: Mapping[str, Path], environ: Mapping[str, str]) -> dict[str, Any]:
    """Copy one model; return what was done as a dict."""
    done: Mirrored = write_mirror(open_target(place, environ), files)
    return {
        "source": uri,
        "mirror": place,
        "files": len(files),
        "bytes": done.total_bytes,
        "copied_files": done.copied_files,
        "copied_bytes": done.copied_bytes,
    }


def _text(rows: Sequence[Mapping[str, Any]], target: str) -> str:
    """Return the result as text for people."""
    lines = [
        f"{row['mirror']} has {row['source']}: {row['files']} files, {format_size(row['bytes'])}; "
        f"copied {row['copied_files']}, {format_size(row['copied_bytes'])}"
        for row in rows
    ]
    return "\n".join([*lines, f"NIM_REPOSITORY_OVERRIDE={target}"])
