"""`nim profiles`: the profiles of a model, and which of them this machine can run."""

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from nim import data_paths
from nim.cli.machine_options import add_machine_options, find_hardware, is_other_machine
from nim.cli.write_warnings import write_warnings
from nim.engine import (
    OptionTable,
    check_named_values,
    check_values,
    find_engine,
    load_catalog,
    load_options,
    variable_warnings,
)
from nim.errors import ManifestError, NimError, SettingsError
from nim.hardware import hardware_from_gpus
from nim.log_format import printable, visible
from nim.manifest import Engine, Manifest, load_manifest, manifest_paths, read_manifest
from nim.manifest.find_problems import manifest_problems
from nim.manifest.json_schema import schema_text
from nim.manifest.profile_ids import write_ids
from nim.models.remote.locate_source import located_wish, model_places
from nim.models.requested_model import COMMAND_LINE as MODEL_ARGUMENT
from nim.models.requested_model import wished_model
from nim.planning.choose_profile import find_candidates
from nim.planning.option_layers.read_layers_from_user import read_written
from nim.planning.plan_request import Request
from nim.planning.read_host_facts import read_host_facts
from nim.read_regular_file import read_bytes
from nim.recipes.import_report import Outcome, refusal_words, report_data, report_text
from nim.recipes.importer import Choice, RecipeRefused, import_recipe
from nim.recipes.manifest_draft import Draft
from nim.recipes.manifest_text import draft_text
from nim.recipes.read_recipe_file import load_recipe
from nim.redact import known_secrets
from nim.selection.explain_rejected_profiles import NoProfileFits
from nim.selection.fit_types import Wishes
from nim.selection.profile_listing import list_profiles, listing_data, listing_text
from nim.selection.select import select
from nim.settings import read_settings
from nim.value_origins import Layer, Origin, Value

IMPORT = "import"


def run(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run `nim profiles`: list profiles; check or import manifests, or write ids; return the exit code."""
    if arguments[:1] == [IMPORT]:
        return run_import(arguments[1:])
    options = _parser().parse_args(arguments)
    if options.schema:
        print(schema_text(), end="")
        return 0
    if options.write_ids:
        return _write_ids([Path(name) for name in options.write_ids])
    if options.check is not None:
        named = [*options.check, *([options.model] if options.model else [])]
        return _check(list(_manifest_files(named)), as_json=options.json)
    return _list(options, environ)


def run_import(arguments: Sequence[str]) -> int:
    """Run `nim profiles import`: convert public vLLM recipes to manifests; return the exit code."""
    options = _import_parser().parse_args(arguments)
    files = dict(_recipe_files(options.recipes))
    output = Path(options.output) if options.output else None
    several = len(files) > 1 or any(Path(name).is_dir() for name in options.recipes)
    if several and output and not output.is_dir():
        raise SettingsError(f"cannot write {len(files)} manifests to '{output}': it is not a directory")
    work = _Import(options, output, load_options())
    if not (several or options.json):
        return work.one(*files)
    outcomes = [work.outcome(file, name) for file, name in files.items()]
    text = json.dumps(report_data(outcomes), indent=1) if options.json else printable(report_text(outcomes))
    print(text, end="")
    return ManifestError.exit_code if any(outcome.failed for outcome in outcomes) else 0


class _Import:
    """The work of one call of `nim profiles import`."""

    def __init__(self, options: argparse.Namespace, output: Path | None, table: OptionTable) -> None:
        self._options, self._output, self._table = options, output, table

    def one(self, file: Path) -> int:
        """Convert one recipe, print or write its manifest; return 0. Raises RecipeRefused."""
        draft = self._draft(file)
        text = draft_text(draft)
        if self._output is None:
            print(text, end="")
            return 0
        written = self._write(draft, text, self._output)
        manifest = read_manifest(text, name=str(written), path=written)
        outcome = Outcome(recipe=str(file), manifest=manifest, chosen=self._chosen(manifest))
        print(report_text([outcome]).partition("\n")[0])
        print(f"written to {written}; its head lists what was not converted")
        return 0

    def outcome(self, file: Path, name: str) -> Outcome:
        """Convert one recipe of several, write its manifest if asked; return an Outcome, refused or not."""
        try:
            draft = self._draft(file)
            text = draft_text(draft)
            manifest = read_manifest(text, name=name)
            written = self._write(draft, text, self._output) if self._output else None
        except RecipeRefused as refusal:
            return Outcome(recipe=name, refused=refusal.reasons)
        except NimError as error:
            return Outcome(recipe=name, error=" ".join(str(error).split()))
        return Outcome(
            recipe=name,
            manifest=manifest,
            file=str(written) if written else None,
            left_out=draft.notes,
            chosen=self._chosen(manifest),
        )

    def _draft(self, file: Path) -> Draft:
        """Read a recipe file and return the Draft of its manifest; RecipeRefused if it is refused."""
        choice = Choice(variants=tuple(self._options.variant), drop_unknown=self._options.drop_unknown)
        return import_recipe(load_recipe(file), self._table, name=str(file), choice=choice)

    def _write(self, draft: Draft, text: str, output: Path) -> Path:
        """Write a manifest to the file or directory `output`; return the path, SettingsError if it exists."""
        path = output / f"{draft.name.rpartition('/')[2].lower()}.yaml" if output.is_dir() else output
        if path.exists() and not self._options.force:
            message = f"cannot write '{path}': it is there already"
            raise SettingsError(message, hint="--force overwrites it")
        try:
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise SettingsError(f"cannot write '{path}': {error.strerror}") from None
        return path

    def _chosen(self, manifest: Manifest) -> str | None:
        """Return the profile's label that --gpus would run, or text why none; None without --gpus."""
        if self._options.gpus is None:
            return None
        try:
            return select(manifest, hardware_from_gpus(self._options.gpus), Wishes()).chosen.label
        except NoProfileFits as refusal:
            return refusal_words(refusal)


def _parser() -> argparse.ArgumentParser:
    """Return the ArgumentParser of `nim profiles`."""
    epilog = "`nim profiles import -h` describes how public vLLM recipes are converted to manifests."
    parser = argparse.ArgumentParser(prog="nim profiles", description=__doc__, epilog=epilog)
    parser.add_argument("model", nargs="?", help="a directory or hf://org/name, instead of NIM_MODEL_NAME")
    parser.add_argument("--json", action="store_true", help="print JSON")
    work = parser.add_mutually_exclusive_group()
    work.add_argument(
        "--check", nargs="*", metavar="FILE", help="list the problems of manifests (default: all shipped)"
    )
    work.add_argument("--write-ids", nargs="+", metavar="FILE", help="correct the ids in manifests")
    work.add_argument("--schema", action="store_true", help="print the JSON schema of a manifest")
    add_machine_options(parser)
    return parser


def _import_parser() -> argparse.ArgumentParser:
    """Return the ArgumentParser of `nim profiles import`."""
    parser = argparse.ArgumentParser(
        prog="nim profiles import", description="Convert public vLLM recipes to manifests."
    )
    parser.add_argument("recipes", nargs="+", metavar="RECIPE", help="a recipe, or a directory of them")
    parser.add_argument("-o", "--output", metavar="FILE", help="write the manifest to this file or directory")
    parser.add_argument("--force", action="store_true", help="overwrite existing files")
    parser.add_argument(
        "--variant", action="append", default=[], metavar="NAME", help="import only these variants"
    )
    parser.add_argument(
        "--drop-unknown", action="store_true", help="leave out options that the engine does not have"
    )
    parser.add_argument(
        "--gpus", metavar="GPUS", help="report the profile that these GPUs would run, such as 8xH200"
    )
    parser.add_argument("--json", action="store_true", help="print the outcome of each recipe as JSON")
    return parser


def _list(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Print the profiles and which of them this machine can run; return 0."""
    settings = read_settings(environ)
    other_machine = is_other_machine(options)
    hardware = find_hardware(options, environ)
    request = Request(settings=settings, environ=environ, hardware=hardware, other_machine=other_machine)
    engine = None if other_machine else find_engine()
    written = read_written(request, load_options())
    write_warnings(settings, (*settings.warnings, *written.warnings), known_secrets(environ))
    place = MODEL_ARGUMENT if options.model else written.model_place
    host = read_host_facts(settings, environ)
    places = model_places(settings, host.cache_dir)
    wish = located_wish(wished_model(settings, options.model or written.model, place), places)
    found = find_candidates(request, wish, written, host, engine)
    listing = list_profiles(found.manifest, hardware, found.wishes, found.facts)
    if options.json:
        print(json.dumps(listing_data(listing), indent=1))
    elif sys.stdout.isatty():
        from nim.cli.output.profile_table import print_listing  # needed only for terminals

        print_listing(listing)
    else:
        print(printable(listing_text(listing)), end="")
    return 0


def _check(files: Sequence[Path], *, as_json: bool) -> int:
    """Print problems and notes of each manifest file; return 0, or ManifestError's code if any is bad."""
    table = load_options()
    found = [(file, *_problems(file, table)) for file in files]
    if as_json:
        rows = [{"file": str(file), "problems": bad, "notes": notes} for file, bad, notes in found]
        print(json.dumps(rows, indent=1))
    for file, bad, notes in [] if as_json else found:
        for line in [*bad, *(f"note: {note}" for note in notes)] or ["all is well"]:
            print(visible(f"{file}: {line}"))
    return ManifestError.exit_code if any(bad for _, bad, _ in found) else 0


def _problems(file: Path, table: OptionTable) -> tuple[list[str], list[str]]:
    """Return (problems, notes) of a manifest file, two lists of texts."""
    try:
        manifest = load_manifest(file)
    except ManifestError as error:
        return [" ".join(str(error).split())], []
    engines = {profile.label: profile.engine for profile in manifest.profiles}
    engines |= {f"+{name}": variant.engine for name, variant in manifest.variants.items()}
    bad = [*manifest_problems(manifest)]
    bad += [line for name, engine in engines.items() for line in _bad_options(name, engine, table)]
    env = {name: value for engine in engines.values() for name, value in engine.env.items()}
    return bad, list(variable_warnings(env, table))


def _bad_options(name: str, engine: Engine, table: OptionTable) -> Iterator[str]:
    """Yield the errors in an engine section's options as text; nothing if all are right."""
    values = {option.replace("-", "_"): value for option, value in engine.args.items()}
    origin = Origin(layer=Layer.PROFILE, place=name)
    named = {option: Value(value=value, origin=origin) for option, value in values.items()}
    checks = (
        lambda: check_values(values, table, place=name),
        lambda: check_named_values(named, load_catalog(table.version)),
    )
    for check in checks:
        try:
            check()
        except SettingsError as error:
            yield " ".join(str(error).split())


def _write_ids(files: Sequence[Path]) -> int:
    """Write correct profile ids into the manifest files, print how many; return 0."""
    for file in files:
        print(f"{file}: {write_ids(file)} ids written")
    return 0


def _manifest_files(names: Sequence[str]) -> Iterator[Path]:
    """Yield the paths of named files, of manifests in named directories, or of all shipped ones."""
    for path in [Path(name) for name in names] or [data_paths.PROFILES]:
        yield from manifest_paths(path) if path.is_dir() else [path]


def _recipe_files(names: Sequence[str]) -> Iterator[tuple[Path, str]]:
    """Yield (path, name in the report) of named files and of the recipes in named directories."""
    for path in map(Path, names):
        if not path.is_dir():
            yield path, str(path)
            continue
        found = [file for file in sorted(path.rglob("*.yaml")) if _is_recipe(file)]
        if not found:
            raise SettingsError(f"cannot import from '{path}': there is no recipe in this directory")
        yield from ((file, str(file.relative_to(path))) for file in found)


def _is_recipe(file: Path) -> bool:
    """Return whether the text of the file has the keys `model` and `variants`."""
    text = read_bytes(file).decode("utf-8", errors="replace")
    return all(re.search(rf"^{key}:", text, re.MULTILINE) for key in ("model", "variants"))
