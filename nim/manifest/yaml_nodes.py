"""Parse YAML into nodes with line numbers. Scalars are converted on request, by unambiguous rules."""

import re
from collections.abc import Iterator
from typing import Any, NoReturn, cast

from yaml import MappingNode, Node, ScalarNode, SequenceNode, YAMLError
from yaml.composer import Composer, ComposerError
from yaml.parser import Parser
from yaml.reader import Reader
from yaml.scanner import Scanner

from nim.errors import ManifestError

MAX_DEPTH = 32
# Unquoted text that YAML 1.1 and 1.2 read differently.
_AMBIGUOUS = re.compile(
    r"y|n|yes|no|on|off|<<|="
    r"|[-+]?0[0-9_]+|[-+]?[0-9][0-9_]*_[0-9_.]*|[-+]?0[xob][0-9a-f_]+"  # 010, 1_000, 0x10
    r"|[-+]?\d+(:[0-5]?\d)+(\.\d*)?|\d{4}-\d\d?-\d\d?([t \d:.+z-]*)"  # 1:30, 2024-01-31
    r"|[-+]?(\d+\.?\d*|\.\d+)e[-+]?\d+|[-+]?(\d+\.|\.\d+)|[-+]?\.inf|\.nan"  # 1e3, 1., .5
    r"|[-+]?\d+(\.\d+)?",  # more digits than _INTEGER and _NUMBER allow
    re.IGNORECASE,
)
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_NUMBER = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})\.[0-9]{1,30}")
_WORDS = {"": None, "~": None, "null": None, "Null": None, "NULL": None} | {
    word: word.lower() == "true" for word in ("true", "True", "TRUE", "false", "False", "FALSE")
}


class Place:
    """The name of the file being read, for errors that name the line; `document` says what it should be.

    `begin` is how such a document begins, `check` the command that checks one.
    """

    def __init__(
        self,
        name: str,
        document: str = "the manifest",
        begin: str = "schema_version: 2.0.0",
        check: str = "nim profiles --check",
    ) -> None:
        self.name, self.document, self.begin, self.check = name, document, begin, check

    def at(self, node: Node) -> str:
        """Return `file:line` of a node, for errors."""
        return f"{self.name}:{node.start_mark.line + 1}"

    def refuse(
        self, node: Node, why: str, *, allowed: tuple[str, ...] = (), hint: str | None = None
    ) -> NoReturn:
        """Raise ManifestError "cannot `why` (file:line)"; never returns."""
        raise ManifestError(f"cannot {why} ({self.at(node)})", allowed=allowed, hint=hint)


def compose(text: str, place: Place) -> MappingNode:
    """Return the root node of YAML `text`; ManifestError if it is not one document with a mapping."""
    try:
        node = _parse(text)
    except YAMLError as error:
        raise _syntax_error(error, place) from None
    if not isinstance(node, MappingNode):
        raise ManifestError(
            f"cannot read {place.document} {place.name}: it is not a mapping",
            hint=f"begin it with `{place.begin}`",
        )
    if "*" in text:
        _refuse_aliases(node, place, set())
    return node


def items(node: Node, place: Place, what: str) -> Iterator[tuple[str, Node, Node]]:
    """Yield (key, key node, value node) of a mapping; ManifestError for other nodes or a repeated key."""
    if not isinstance(node, MappingNode):
        place.refuse(node, f"read {what}: {_kind(node)} stands where a mapping belongs")
    seen: dict[str, Node] = {}
    for key, value in node.value:
        name = text_of(key, place, f"a key of {what}")
        if name in seen:
            place.refuse(
                key,
                f"use '{name}' in {what} twice: it is already in line {seen[name].start_mark.line + 1}",
            )
        seen[name] = key
        yield name, key, value


def elements(node: Node, place: Place, what: str) -> list[Node]:
    """Return the element nodes of a list node; ManifestError for other nodes."""
    if not isinstance(node, SequenceNode):
        place.refuse(node, f"read {what}: {_kind(node)} stands where a list belongs")
    return cast(list[Node], node.value)


def text_of(node: Node, place: Place, what: str) -> str:
    """Return a scalar node's string; ManifestError for other values, such as an unquoted number."""
    value = value_of(node, place, what)
    if not isinstance(value, str):
        written = cast(str, node.value) if isinstance(node, ScalarNode) else "…"
        place.refuse(
            node,
            f"read {what}: {_kind(node)} stands where a string belongs",
            hint=f'write "{written}" in quotes',
        )
    return value


def raw_text_of(node: Node, place: Place, what: str) -> str:
    """Return a scalar's unconverted text (ids may look like numbers); ManifestError for other nodes."""
    if not isinstance(node, ScalarNode):
        place.refuse(node, f"read {what}: {_kind(node)} stands where a string belongs")
    return cast(str, node.value)


def value_of(node: Node, place: Place, what: str) -> Any:
    """Return a node as Python values (dict, list, str …); ManifestError for text that is ambiguous YAML."""
    if isinstance(node, MappingNode):
        return {name: value_of(value, place, what) for name, _, value in items(node, place, what)}
    if isinstance(node, SequenceNode):
        return [value_of(value, place, what) for value in node.value]
    return _scalar(cast(ScalarNode, node), place, what)


def _scalar(node: ScalarNode, place: Place, what: str) -> str | int | float | bool | None:
    """Return a quoted scalar as str, a plain one by YAML 1.2 (null: None); ManifestError if ambiguous."""
    text = cast(str, node.value)
    if node.style:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _NUMBER.fullmatch(text):
        return float(text)
    if text[0] in "yYnNoO<=+-.0123456789" and _AMBIGUOUS.fullmatch(text):
        hint = f'write "{text}" in quotes if you mean the text, else true, false or a plain decimal number'
        place.refuse(node, f"read {what}: readers of YAML disagree on what a bare {text} means", hint=hint)
    return text


def _kind(node: Node) -> str:
    """Return what a node is, as words for errors, such as "a list"."""
    if isinstance(node, MappingNode):
        return "a mapping"
    if isinstance(node, SequenceNode):
        return "a list"
    return f"'{node.value}'" if node.value else "nothing"


def _parse(text: str) -> Node | None:
    """Return the document's root node, None if empty, by libyaml if PyYAML has it; YAMLError if invalid."""
    try:
        from yaml._yaml import CParser
    except ImportError:
        return _PythonParser(text).get_single_node()

    class FastParser(_Unresolved, CParser):
        """libyaml's parser; tags stay unresolved."""

    try:
        return FastParser(text).get_single_node()
    except YAMLError as error:
        raise _nesting_error(text) or error from None


def _nesting_error(text: str) -> "NestingError | None":
    """Return the NestingError for text nested too deeply, not raised; None for other text.

    libyaml reads ahead and has a limit that depends on its release, so its error may come before ours.
    """
    try:
        _PythonParser(text).get_single_node()
    except NestingError as error:
        return error
    except YAMLError:
        pass
    return None


class NestingError(ComposerError):
    """The text has more than `MAX_DEPTH` levels."""


class _Unresolved:
    """A resolver that assigns no types, since `value_of` converts scalars, and limits the depth.

    Without the limit, libyaml's recursion would crash the process.
    """

    depth = 0

    def resolve(self, *_: object) -> str:
        """Return "" as the tag of every scalar: types stay unresolved."""
        return ""

    def descend_resolver(self, parent: Node | None, _index: object) -> None:
        """Count one more level; raise NestingError beyond `MAX_DEPTH`."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            problem = f"it is nested deeper than {MAX_DEPTH} levels"
            raise NestingError(None, None, problem, parent.start_mark if parent else None)

    def ascend_resolver(self) -> None:
        """Count one level less."""
        self.depth -= 1


class _PythonParser(_Unresolved, Reader, Scanner, Parser, Composer):
    """PyYAML's own parser."""

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)


def _syntax_error(error: YAMLError, place: Place) -> ManifestError:
    """Return the ManifestError for invalid YAML, with its line; does not raise it."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    where = f"{place.name}:{mark.line + 1}" if mark else place.name
    said = (getattr(error, name, None) for name in ("context", "problem", "reason"))
    problem = ", ".join(str(words) for words in said if words) or "it is not YAML"
    return ManifestError(
        f"cannot read {place.document} as YAML: {problem} ({where})", hint=f"{place.check} {place.name}"
    )


def _refuse_aliases(node: Node, place: Place, seen: set[int]) -> None:
    """Raise ManifestError for an alias (a node reached twice): it can make a small file huge."""
    if id(node) in seen:
        place.refuse(
            node,
            f"use a YAML anchor and its alias in {place.document}",
            hint="write the value out where it is used",
        )
    seen.add(id(node))
    children = [part for pair in node.value for part in pair] if isinstance(node, MappingNode) else node.value
    for child in children if isinstance(node, MappingNode | SequenceNode) else ():
        _refuse_aliases(child, place, seen)
