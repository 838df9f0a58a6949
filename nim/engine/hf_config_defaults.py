"""Configuration classes of the engine as data: the value of each field that `config.json` omits.

The data is generated from the engine and its release of Transformers (`make engine-options`).
"""

import json
from collections.abc import Mapping
from dataclasses import field
from functools import cache
from typing import Any

from nim.engine.option_table import OPTIONS_DIR, table_versions
from nim.frozen_dataclass import frozen_dataclass

FILE = OPTIONS_DIR / f"configs-{table_versions()[-1]}.json"


@frozen_dataclass
class ConfigClass:
    """One class. `defaults` uses the names in its JSON; `names` maps standard names to these."""

    defaults: Mapping[str, Any] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    parts: Mapping[str, str] = field(default_factory=dict)  # nested configurations: their model types
    open_parts: frozenset[str] = frozenset()  # those whose JSON may name another model type
    text: tuple[str, ...] | None = None  # the path to the language part; None if unknown
    rope: bool = False  # accepts RoPE scaling


UNKNOWN = ConfigClass()


def config_class(model_type: str | None) -> ConfigClass:
    """Return the ConfigClass (defaults of config.json) of a `model_type`; UNKNOWN, an empty one, if none."""
    row = _row(model_type or "")
    if not row:
        return UNKNOWN
    return ConfigClass(
        defaults=row.get("defaults", {}),
        names=row.get("names", {}),
        parts=row.get("parts", {}),
        open_parts=frozenset(row.get("open", ())),
        text=tuple(row["text"]) if "text" in row else None,
        rope=row.get("rope", False),
    )


def default_architecture(model_type: str | None) -> str | None:
    """Return the architecture vLLM assumes if config.json has only `model_type`; None if unknown."""
    return _row(model_type or "").get("architecture")


@cache
def _row(model_type: str) -> dict[str, Any]:
    """Return the JSON row of one `model_type` from the data file; {} if there is none. Parses one line."""
    text = _json_text()
    start = text.find(f"\n{json.dumps(model_type)}:")
    if start < 0:
        return {}
    line = text[start + 1 : text.index("\n", start + 1)].rstrip(",")
    row: dict[str, Any] = json.loads("{" + line + "}")[model_type]
    return row


@cache
def _json_text() -> str:
    """Return the text of the generated JSON of all configuration classes, read once."""
    return FILE.read_text(encoding="utf-8")
