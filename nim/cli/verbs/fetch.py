"""`nim fetch`: fill the cache with the files that a start would fetch."""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nim.cli.download_from_hub import (
    Done,
    Hub,
    Log,
    check_cache,
    end_at_signals,
    logger,
    probe_cache,
    refuse_offline,
)
from nim.cli.download_remote import fetch_remote, preview_remote
from nim.cli.machine_options import add_machine_options, find_hardware, is_other_machine
from nim.cli.profile_options import add_profile_choice
from nim.cli.write_model_manifest import check_place, write_manifest
from nim.errors import OutOfReach
from nim.fetch.format_size import format_size
from nim.log_format import printable
from nim.models.hub.repositories_to_download import GB
from nim.models.remote.cache_directories import CURRENT
from nim.models.remote.uris import name_of
from nim.planning.checks.check_configured_mounts import probe_mounts
from nim.planning.find_local_model_files import why_offline
from nim.planning.find_repositories_to_fetch import Choice, Sources, find_sources
from nim.planning.plan_request import Request
from nim.settings import Settings, read_settings

if TYPE_CHECKING:
    from nim.fetch.hub import Repository

ABOUT = f"""\
{__doc__}

The model is set by NIM_MODEL_NAME, NIM_MODEL_PATH or NIM_MANIFEST_PATH, the profile is the one that a start
here would choose, and the directory is the engine's cache (NIM_CACHE_PATH). Only files that vLLM loads and
that are missing are fetched. HF_TOKEN, HF_ENDPOINT and similar variables apply as for a start."""

Row = dict[str, Any]


def run(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run `nim fetch`: download into the cache, or list what would be downloaded; return the exit code."""
    options = _parser().parse_args(arguments)
    settings = read_settings(environ)
    end_at_signals(settings)
    if options.manifest_file and not options.model_uri:
        settings = replace(settings, manifest_path=options.manifest_file)
    log = logger(settings, environ)
    request = Request(
        settings=settings,
        environ=environ,
        hardware=find_hardware(options, environ),
        other_machine=is_other_machine(options),
    )
    probe_mounts(request, model_uri=options.model_uri, manifest_file=options.manifest_file)
    sources = find_sources(
        request,
        Choice(
            names=tuple(options.profiles),
            every=options.all,
            model=options.model_uri,
            model_option="--model-uri",
        ),
    )
    for warning in sources.warnings:
        log("WARNING", warning)
    file = Path(options.manifest_file) if options.manifest_file and options.model_uri else None
    if file:
        check_place(file)
    if options.dry_run:
        rows = list(_preview(sources, settings, environ, log))
    else:
        rows = list(_fetch(sources, settings, environ, log, file, refresh=options.refresh))
    data = {"dry_run": options.dry_run, "sources": rows, "directories": sources.directories}
    data |= {"manifest": str(file)} if file and not options.dry_run else {}
    print(
        json.dumps(data, indent=1) if options.json else printable(_text(data)),
        end="\n" if options.json else "",
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    """Return the ArgumentParser of `nim fetch`."""
    parser = argparse.ArgumentParser(
        prog="nim fetch", description=ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_profile_choice(parser, "fetch")
    parser.add_argument(
        "--model-uri",
        metavar="URI",
        help="hf://org/name[:revision], s3://… or another source, for NIM_MODEL_PATH",
    )
    parser.add_argument(
        "--manifest-file",
        metavar="FILE",
        help="with --model-uri: write the model's manifest to FILE, for NIM_MANIFEST_PATH; "
        "without: the manifest to use, as NIM_MANIFEST_PATH",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="list what would be fetched, and fetch nothing"
    )
    parser.add_argument(
        "--refresh",
        action="store_true",
        help="ask the source for changes also if the model is complete in the cache (not for hf://, which "
        "is always asked)",
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    add_machine_options(parser)
    return parser


def _fetch(
    sources: Sources,
    settings: Settings,
    environ: Mapping[str, str],
    log: Log,
    file: Path | None,
    *,
    refresh: bool,
) -> Iterator[Row]:
    """Download all models, yield a row (dict) for each, then write the manifest to `file` if given."""
    wanted = tuple(sources.wanted)
    refuse_offline(settings, environ, wanted)
    repositories: list[Repository] = []
    if wanted:
        check_cache(wanted, settings)
        hub = Hub(log, environ, sources.env)
        repositories = [hub.needed(one) for one in wanted]
        hub.check_room(repositories)
        for repository in repositories:
            yield _row(repository, hub.fetch(repository))
    for remote in sources.remotes:
        yield fetch_remote(remote, settings, environ, log, refresh=refresh)
    if file and sources.remotes:
        remote = next(iter(sources.remotes))
        write_manifest(file, Path(remote.directory) / CURRENT, remote.uri, name_of(remote.uri))
    elif file and sources.directories:
        directory = Path(sources.directories[0])
        write_manifest(file, directory, str(directory), directory.name)
    elif file:
        first = repositories[0]
        write_manifest(file, first.snapshot, first.wanted.uri, first.wanted.repository)


def _preview(sources: Sources, settings: Settings, environ: Mapping[str, str], log: Log) -> Iterator[Row]:
    """Yield a row (dict) for each repository that would be fetched, sized by hub or manifest."""
    for remote, size_gb in sources.remotes.items():
        yield preview_remote(remote, settings, environ, log, int(size_gb * GB) if size_gb else None)
    if not sources.wanted:
        return
    probe_cache(sources.wanted, settings)
    offline = why_offline(settings, environ)
    hub = None if offline else Hub(log, environ, sources.env)
    for wanted, size_gb in sources.wanted.items():
        why = f"{offline} says to fetch nothing"
        try:
            if hub:
                yield _row(hub.needed(wanted, dry=True), None)
                continue
        except OutOfReach as error:
            why = error.message
        known = "the size is the manifest's, and" if size_gb else "neither the size nor"
        log("WARNING", f"{known} the files are {'not ' if size_gb else ''}known: {why}")
        size = int(size_gb * GB) if size_gb else None
        yield {"source": wanted.uri, "directory": str(wanted.directory), "bytes": size}


def _row(repository: "Repository", done: Done | None) -> Row:
    """Return one repository as a dict; without `done`, with what would be downloaded."""
    sizes = [size or 0 for size in repository.files.values()]
    row: Row = {
        "source": repository.wanted.uri,
        "directory": str(repository.wanted.directory),
        "bytes": sum(sizes),
        "commit": repository.commit,
        "files": len(sizes),
    }
    if done is None:
        missing = repository.missing
        return row | {
            "missing_files": sorted(missing),
            "missing_bytes": sum(size or 0 for size in missing.values()),
        }
    return row | {"fetched_bytes": done.fetched_bytes, "seconds": round(done.seconds, 1)}


def _text(data: Mapping[str, Any]) -> str:
    """Return the result of `nim fetch` as text for people."""
    lines = [f"{path}: a directory, nothing is to be fetched" for path in data["directories"]]
    for row in data["sources"]:
        what = (
            f"{row['files']} files, {format_size(row['bytes'])}"
            if "files" in row
            else format_size(row["bytes"])
        )
        lines.append(f"{row['source']}: {what}, in {row['directory']}")
        if "fetched_bytes" in row:
            lines[-1] += f"; fetched {format_size(row['fetched_bytes'])} in {row['seconds']} s"
        elif "missing_bytes" in row:
            lines[-1] += f"; {format_size(row['missing_bytes'])} of them would be fetched"
            lines += [f"  {name}" for name in row["missing_files"]]
    lines += [f"{data['manifest']}: the manifest"] if "manifest" in data else []
    return "\n".join(lines) + "\n"
