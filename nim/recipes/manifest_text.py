"""A draft → the text of a manifest: each value with its recipe key, unknown values as comments."""

import json
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import PurePath
from typing import Any

from nim.manifest.load import PLACEHOLDER_ID, read_manifest
from nim.manifest.profile_ids import with_ids
from nim.recipes.find_refused_arguments import Options, Sourced
from nim.recipes.manifest_draft import Draft, DraftCheckpoint, DraftProfile, common_options, without

# Unquoted text that every YAML reader takes for a string.
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*( [A-Za-z0-9_./()-]+)*")
_WORDS = re.compile(r"y|n|yes|no|on|off|true|false|null|~", re.IGNORECASE)
_WIDTH = 110


def draft_text(draft: Draft) -> str:
    """Return a draft as manifest text (YAML), the same for the same draft, with computed profile ids."""
    text = "\n".join(_lines(draft)) + "\n"
    return with_ids(text, read_manifest(text, name=draft.recipe))


def _lines(draft: Draft) -> Iterator[str]:
    """Yield all lines of the manifest."""
    engine = common_options(tuple(profile.options for profile in draft.profiles))
    yield from _head(draft)
    yield "schema_version: 2.0.0"
    yield "profile_selection_criteria: default"
    yield ""
    yield from _model(draft)
    if engine.args or engine.env:
        yield ""
        yield "engine:"
        yield from _engine(engine, "  ")
    yield ""
    yield "checkpoints:"
    for checkpoint in draft.checkpoints:
        yield from _checkpoint(checkpoint, _shared(draft, checkpoint.precision, engine))
    if draft.variants:
        yield ""
        yield "variants:"
        for variant in draft.variants:
            yield f"  {variant.name}:"
            yield f"    summary: {scalar(variant.summary)}"
            yield "    engine:"
            yield from _engine(variant.options, "      ")
    yield ""
    yield "profiles:"
    for profile in draft.profiles:
        shared = _shared(draft, profile.precision, engine)
        yield from _profile(profile, without(without(profile.options, engine), shared))


def _head(draft: Draft) -> Iterator[str]:
    """Yield the comment lines at the head: the recipe, and what was not imported."""
    name, version = PurePath(draft.recipe).name, draft.engine_version
    yield from _comment(f"Imported from the recipe {name}, with the options of vLLM {version}.")
    if draft.min_engine_version:
        yield from _comment(f"The recipe asks for vLLM {draft.min_engine_version} or newer.")
    verified = ", ".join(draft.verified) or "unknown"
    yield from _comment(f"Verified by the recipe's authors on: {verified}.")
    yield "# memory_gb is the engine's share of the GPU memory that the recipe requires."
    yield "# The comment after a value is the recipe key it comes from."
    if draft.notes:
        yield "#"
        yield "# Not in this manifest:"
        for note in draft.notes:
            yield from _comment(f"- {note}", more="    ")
    yield ""


def _model(draft: Draft) -> Iterator[str]:
    """Yield the lines of the manifest's `model:`."""
    yield "model:"
    yield f"  name: {scalar(draft.name)}"
    if draft.description:
        yield f"  description: {scalar(draft.description)}"
    yield f"  source: {_uri(draft.source)}"
    yield "  # license: unknown, the recipe does not say"
    if draft.total_billions is None:
        yield "  # parameters: unknown, so the memory estimate is the recipe's own"
    else:
        active = draft.active_billions
        more = "" if active is None else f", active_billions: {_number(active)}"
        yield f"  parameters: {{total_billions: {_number(draft.total_billions)}{more}}}"
        if active is None:
            yield "  # active_billions: unknown"
    unknown = "  # max_model_len: unknown"
    yield f"  max_model_len: {draft.max_model_len}" if draft.max_model_len else unknown
    yield "  # kv_cache: unknown, so the memory estimate counts no context beyond the recipe's minimum"


def _checkpoint(checkpoint: DraftCheckpoint, shared: Options) -> Iterator[str]:
    """Yield the lines of one entry of `checkpoints:`, with the options all its profiles share."""
    about = f"variants.{checkpoint.variant}: {checkpoint.about}" if checkpoint.about else checkpoint.variant
    yield from _comment(about, indent="  ")
    yield f"  {checkpoint.precision}:"
    yield f"    source: {_uri(checkpoint.source)}"
    yield "    # download_gb: unknown"
    if checkpoint.weights_gb is not None:
        note = "vram_minimum_gb: less than parameters times bytes, so some parts are smaller; unknown which"
        yield from _comment(note, indent="    ")
        yield f"    weights_gb: {_number(checkpoint.weights_gb)}"
    if shared.args or shared.env:
        yield "    engine:"
        yield from _engine(shared, "      ")


def _profile(profile: DraftProfile, options: Options) -> Iterator[str]:
    """Yield the lines of one entry of `profiles:`."""
    if profile.comment:
        yield from _comment(profile.comment, indent="  ")
    tags = ", ".join(f"{name}: {scalar(value)}" for name, value in profile.tags.items())
    yield f'  - id: "{PLACEHOLDER_ID}"'
    yield f"    tags: {{{tags}}}"
    if options.args or options.env:
        yield "    engine:"
        yield from _engine(options, "      ")
    if profile.memory_gb is not None:
        yield f"    resources: {{memory_gb: {_number(profile.memory_gb)}}}"


def _engine(options: Options, indent: str) -> Iterator[str]:
    """Yield the lines of `args:` and `env:`, each value with its recipe key as a comment."""
    for title, values in (("args", options.args), ("env", options.env)):
        if values:
            yield f"{indent}{title}:"
            for name, said in values.items():
                yield f"{indent}  {name}: {_value(said, title)} # {_one_line(said.key)}{_noted(said)}"


def _value(said: Sourced, title: str) -> str:
    """Return a `Sourced` value as YAML text; variables are always quoted."""
    return _quoted(said.value) if title == "env" else written(said.value)


def _noted(said: Sourced) -> str:
    """Return "; " and the value's note, for the end of its comment; "" without a note."""
    return f"; {_one_line(said.note)}" if said.note else ""


def _shared(draft: Draft, precision: str, engine: Options) -> Options:
    """Return the `Options` common to all profiles of a precision, without those in `engine`."""
    own = [profile.options for profile in draft.profiles if profile.precision == precision]
    return without(common_options(tuple(own)), engine)


def written(value: Any) -> str:
    """Return a value as one line of YAML text that all YAML versions read alike."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_quoted(name)}: {_inner(part)}" for name, part in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_inner(part) for part in value)}]"
    return scalar(value) if isinstance(value, str) else _plain_value(value)


def _inner(value: Any) -> str:
    """Return a value inside brackets as YAML text: all strings are quoted."""
    return _quoted(value) if isinstance(value, str) else written(value)


def scalar(text: str) -> str:
    """Return text as a YAML scalar, quoted where YAML could read it as another type."""
    return text if _PLAIN.fullmatch(text) and not _WORDS.fullmatch(text) else _quoted(text)


def _uri(text: str) -> str:
    """Return a URI as YAML text, quoted if necessary."""
    return text if re.fullmatch(r"[a-z0-9]+://[A-Za-z0-9_./-]+", text) else _quoted(text)


def _quoted(text: str) -> str:
    """Return text in double quotes with unprintable characters escaped."""
    escaped = json.dumps(text, ensure_ascii=False)
    return "".join(char if char.isprintable() else f"\\U{ord(char):08x}" for char in escaped)


def _plain_value(value: Any) -> str:
    """Return a number, boolean or None as YAML text."""
    return _fraction(value) if isinstance(value, float) else json.dumps(value)


def _fraction(value: float) -> str:
    """Return a float as decimal text without an exponent, which YAML versions read differently."""
    text = f"{Decimal(repr(value)):f}"
    return text if "." in text else f"{text}.0"


def _number(value: float) -> str:
    """Return a number as text, without decimals if it is whole."""
    return _fraction(float(value)).removesuffix(".0")


def _comment(text: str, *, indent: str = "", more: str = "") -> Iterator[str]:
    """Yield `text` as comment lines of at most `_WIDTH` characters."""
    line = f"{indent}#"
    for word in _one_line(text).split(" "):
        if len(line) + 1 + len(word) > _WIDTH and line.strip("# "):
            yield line
            line = f"{indent}#{more}"
        line += f" {word}"
    yield line


def _one_line(text: str) -> str:
    """Return text on one line, without unprintable characters."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())
