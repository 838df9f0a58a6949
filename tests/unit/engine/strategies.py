"""Random option values, and the ways of writing them, from the committed table."""

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from nim.engine.arguments.argument_error_messages import OWNED
from nim.engine.arguments.read_numbers_and_names import MisfitError
from nim.engine.arguments.read_unquoted_json import is_open
from nim.engine.arguments.render import option_tokens
from nim.engine.option_table import Count, Kind, Option, OptionTable
from nim.engine.value_limits import Limits

# For a busy machine: how long one example takes says nothing.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])

AWKWARD = [
    "a b",
    "{{",
    "{% x %}",
    "%(x)s",
    "$HOME",
    ";",
    "#",
    "'",
    '"',
    "\\",
    "\n",
    "🚀",
    "–",
    "-",
    "--x_y.z",
    "=",
    "",
]
texts = st.one_of(st.sampled_from(AWKWARD), st.text(max_size=12).filter(lambda text: "\0" not in text))
integers = st.integers(-(2**40), 2**40)
numbers = st.floats(allow_nan=False, allow_infinity=False)
scalars = st.one_of(st.none(), st.booleans(), integers, numbers, texts)
json_values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=6,
)
objects = st.dictionaries(texts, json_values, max_size=3)
modules = st.one_of(
    st.builds(
        "{}={}".format,
        texts.map(_no_comma := (lambda text: text.replace(",", "").replace("=", ""))),
        texts.map(_no_comma),
    ),
    st.fixed_dictionaries({"name": texts, "path": texts}),
)


def plain(option: Option, text: str) -> bool:
    """Return whether the option can hold this very string."""
    said = text != "--" and not (option.nullable and text in ("", "None"))
    if option.kind is Kind.OBJECT_OR_STRING:
        return said and not is_open(text) and not text.strip().startswith(("{", "["))
    return said


def items(option: Option) -> st.SearchStrategy[Any]:
    """Return one value of the option, as it is after reading."""
    if option.choices:
        return st.sampled_from(option.choices)
    strings = texts.filter(lambda text: plain(option, text))
    by_kind: dict[Kind, st.SearchStrategy[Any]] = {
        Kind.INTEGER: _within(option, integers),
        Kind.HUMAN_INTEGER: _within(option, integers),
        Kind.AUTO_INTEGER: _within(option, integers),
        Kind.NUMBER: _within(option, numbers),
        Kind.STRING: strings,
        Kind.OBJECT: _object(option),
        Kind.CONFIG: _object(option),
        Kind.ARRAY: st.lists(json_values, max_size=3),
        Kind.OBJECT_OR_STRING: st.one_of(strings, objects),
        Kind.COMMA_LIST: st.lists(st.one_of(st.integers(0, 99), st.just("GPU-1f")), min_size=1, max_size=4),
        Kind.LORA: modules,
    }
    return by_kind[option.kind]


def values(option: Option) -> st.SearchStrategy[Any]:
    """Return a value of the option that can be said: nothing that only its absence says."""
    if option.kind is Kind.FLAG:
        return st.just(True)
    if option.kind is Kind.BOOLEAN:
        return st.booleans()
    if option.repeats:
        return st.lists(items(option), min_size=1, max_size=3)
    if option.count is Count.MANY:
        several = items(option).filter(lambda item: not isinstance(item, str) or not item.startswith("-"))
        return st.one_of(
            st.lists(items(option), min_size=1, max_size=1), st.lists(several, min_size=1, max_size=3)
        )
    if option.count is Count.OPTIONAL:
        return st.one_of(st.just(True), items(option))
    return items(option)


def sets_of_values(
    table: OptionTable, *, without: frozenset[str] = frozenset()
) -> st.SearchStrategy[dict[str, Any]]:
    """Return a few options with a value each."""
    usable = [o for o in table.options.values() if o.name not in OWNED and o.name not in without]
    pairs = st.sampled_from(usable).flatmap(lambda option: st.tuples(st.just(option.name), values(option)))
    return st.lists(pairs, max_size=6, unique_by=lambda pair: pair[0]).map(dict)


@st.composite
def spoken(draw: st.DrawFn, option: Option, value: Any) -> list[str]:
    """Return the tokens for the value in any spelling that the engine takes."""
    tokens = list(option_tokens(option, value))
    if isinstance(value, bool):
        names = option.spellings if value else option.negatives
        return [draw(_spelling(names))]
    flag, equals, inline = tokens[0].partition("=")
    name = draw(_spelling(option.spellings))
    if equals:
        return [f"{name}={inline}"]
    if option.repeats:
        return [name if token == flag else token for token in tokens]
    rest = [draw(_text(option, token)) for token in tokens[1:]]
    joined = len(rest) == 1 and draw(st.booleans())
    return [f"{name}={rest[0]}"] if joined else [name, *rest]


def _spelling(names: tuple[str, ...]) -> st.SearchStrategy[str]:
    underscored = ["--" + name[2:].replace("-", "_") for name in names if name.startswith("--")]
    return st.sampled_from([*names, *underscored])


def _text(option: Option, text: str) -> st.SearchStrategy[str]:
    """Return other texts of the same meaning."""
    same = [text]
    if option.kind in (Kind.HUMAN_INTEGER, Kind.AUTO_INTEGER) and int(text) > 0:
        same += [f"{int(text) // d}{unit}" for unit, d in (("k", 1000), ("K", 1024)) if int(text) % d == 0]
    if option.kind is Kind.FOLDED:
        same += [text.upper(), text.replace("_", "-")]
    return st.sampled_from(same)


def _object(option: Option) -> st.SearchStrategy[dict[str, Any]]:
    keys = st.sampled_from(option.keys) if option.keys else texts
    items = keys.flatmap(lambda key: st.tuples(st.just(key), _item(option.key_limits.get(key, Limits()))))
    return st.lists(items, max_size=3).map(dict)


def _item(limits: Limits) -> st.SearchStrategy[Any]:
    words = [st.sampled_from(limits.enum)] if limits.enum else []
    return st.one_of(*words, json_values.filter(lambda value: allowed(limits, value)))


def _within(option: Option, drawn: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    limits = option.limits
    low = limits.minimum if limits.minimum is not None else limits.exclusive_minimum
    high = limits.maximum if limits.maximum is not None else limits.exclusive_maximum
    if low is None:
        return drawn
    if option.kind is Kind.NUMBER:
        return st.floats(low, high, allow_nan=False, allow_infinity=False).filter(
            lambda value: allowed(limits, value)
        )
    highest = 2**40 if high is None else int(high)
    return st.integers(int(low), highest).filter(lambda value: allowed(limits, value))


def allowed(limits: Limits, value: Any) -> bool:
    """Return whether the limits let the value pass."""
    try:
        limits.check(value)
    except MisfitError:
        return False
    return True
