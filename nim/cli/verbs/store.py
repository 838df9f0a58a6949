"""`nim store`: write a model as a plain directory of real files, served by its path (NIM_MODEL_PATH)."""

import argparse
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from nim.cli.download_from_hub import Hub, check_cache, end_at_signals, judge_fetched, logger, probe_cache
from nim.cli.download_remote import fetch_remote, remote_files
from nim.cli.machine_options import add_machine_options, find_hardware, is_other_machine
from nim.errors import WeightsError
from nim.fetch.create_model_store import NOTE, Note, check_store, make_store
from nim.fetch.format_size import format_size
from nim.log_format import printable
from nim.models.checkpoint.choose_files_to_fetch import files_to_fetch
from nim.models.checkpoint.explanations.download_again_command import origin_of
from nim.models.checkpoint.find_shards import read_index
from nim.models.checkpoint.select_weight_files import AUTO, INDEX, has_index, weights_among
from nim.models.hub.repositories_to_download import ORIGINALS
from nim.planning.checks.check_configured_mounts import probe_mounts
from nim.planning.find_local_model_files import why_offline
from nim.planning.find_repositories_to_fetch import Choice, Sources, find_sources
from nim.planning.plan_request import Request
from nim.settings import Settings, read_settings

ABOUT = f"""\
{__doc__}

Files that are not in the cache are fetched first, as by `nim fetch`. Weights in the cache are hard-linked if
the store is on the same disk: do not edit those. Other files, and all files of a model in a directory, are
copied. An incomplete store is not served, since `config.json` comes last; the same command completes it."""


def run(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run `nim store`: create or complete a directory with a model's files; return 0."""
    data = create(arguments, environ)
    print(json.dumps(data, indent=1) if "--json" in arguments else printable(_text(data)))
    return 0


def create(arguments: Sequence[str], environ: Mapping[str, str]) -> dict[str, Any]:
    """Create or complete a directory with a model's files; return a dict on what was done."""
    options = _parser().parse_args(arguments)
    settings = read_settings(environ)
    end_at_signals(settings)
    directory = Path(options.model_store).absolute()
    request = Request(
        settings=settings,
        environ=environ,
        hardware=find_hardware(options, environ),
        other_machine=is_other_machine(options),
    )
    probe_mounts(request, model_repo=options.model_repo, model_store=str(directory))
    names = (options.profile,) if options.profile else ()
    sources = find_sources(
        request, Choice(names=names, model=options.model_repo, model_option="--model-repo")
    )
    log = logger(settings, environ)
    for warning in sources.warnings:
        log("WARNING", warning)
    if sources.remotes:
        remote = next(iter(sources.remotes))
        fetch_remote(remote, settings, environ, log)
        files, version = remote_files(remote)
        note = Note(source=remote.uri, commit=version, complete=True)
        added, linked = make_store(directory, files, note, links=weights_among(files))
    elif sources.directories:
        files, note = _from_directory(Path(sources.directories[0]))
        added, linked = make_store(directory, files, note)
    else:
        files, note = _from_cache(sources, settings, environ, directory)
        added, linked = make_store(directory, files, note, links=weights_among(files))
    return {
        "directory": str(directory),
        "source": note.source,
        "commit": note.commit,
        "files": len(files),
        "bytes": sum(path.stat().st_size for path in files.values()),
        "added": added,
        "linked": linked,
    }


def _parser() -> argparse.ArgumentParser:
    """Return the ArgumentParser of `nim store`."""
    parser = argparse.ArgumentParser(
        prog="nim store", description=ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-p", "--profile", metavar="ID", help="the model of this profile, by id or label")
    parser.add_argument(
        *("-m", "--model-store", "--workspace-path"),
        dest="model_store",
        required=True,
        metavar="DIR",
        help="the directory: empty, to be created, or a store of the same model",
    )
    parser.add_argument(
        "--model-repo", metavar="URI", help="hf://org/name[:revision], s3://… or another source"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    add_machine_options(parser)
    return parser


def _from_cache(
    sources: Sources, settings: Settings, environ: Mapping[str, str], directory: Path
) -> tuple[dict[str, Path], Note]:
    """Return ({name: path in the cache}, Note) of the model's files, downloaded unless offline."""
    log = logger(settings, environ)
    wanted, *others = sources.wanted
    for other in others:
        log("WARNING", f"{other.uri} is not written to the store; a start looks for it in the cache")
    hub = Hub(log, environ, sources.env)
    if name := why_offline(settings, environ):
        probe_cache([wanted], settings)
        found = hub.cached(wanted)
        if found is None:
            raise WeightsError(
                f"cannot make a store of {wanted.uri}: '{wanted.directory}' has not all of it, "
                f"and {name} says to fetch nothing",
                hint=f"unset {name}",
            )
        judge_fetched(found)
    else:
        check_cache([wanted], settings)
        found = hub.needed(wanted)
        check_store(directory, Note(source=wanted.uri, commit=found.commit, complete=True), found.snapshot)
        hub.check_room([found])
        hub.fetch(found)
    note = Note(source=wanted.uri, commit=found.commit, complete=True)
    return {name: found.snapshot / name for name in found.files}, note


def _from_directory(origin: Path) -> tuple[dict[str, Path], Note]:
    """Return ({name: path}, Note) of the files that the engine loads from a model's directory."""
    names = [str(path.relative_to(origin)) for path in sorted(origin.rglob("*")) if path.is_file()]
    index: Collection[str] = ()
    if has_index(names, AUTO):
        index = read_index(origin / INDEX, origin_of(origin))
    chosen = [name for name in files_to_fetch(f"'{origin}'", names, AUTO, ORIGINALS, index) if name != NOTE]
    return {name: origin / name for name in chosen}, Note(source=str(origin), commit=None, complete=True)


def _text(data: Mapping[str, Any]) -> str:
    """Return the result of `nim store` as text for people."""
    size, directory, added = format_size(data["bytes"]), data["directory"], data["added"]
    how = f"{added} of them added, {data['linked']} as links" if added else "all were there already"
    return (
        f"{directory} has {data['source']}: {data['files']} files, {size}; {how}\nNIM_MODEL_PATH={directory}"
    )
