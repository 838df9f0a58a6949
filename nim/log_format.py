"""The format of every line on stderr: text or JSON, one line a record."""

import json
import time
from typing import Any

from nim.frozen_dataclass import frozen_dataclass

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

# Control characters command a terminal, in eight bits as well; marks reorder or break what a reader sees.
_CONTROLS = (*range(9), *range(11, 32), *range(127, 160))
_MARKS = (0x061C, *range(0x200E, 0x2010), *range(0x2028, 0x202F), *range(0x2066, 0x206A), 0xFEFF)
_PRINTABLE = {code: f"\\x{code:02x}" for code in _CONTROLS} | {code: f"\\u{code:04x}" for code in _MARKS}
_VISIBLE = _PRINTABLE | {10: "\\n"}
_IN_JSON = {code: f"\\u{code:04x}" for code in (*range(127, 160), *_MARKS)}


def severity(level: str) -> int:
    """Return the rank of a level as int, from 0 for DEBUG; unknown levels rank as INFO."""
    return LEVELS.index(level) if level in LEVELS else LEVELS.index("INFO")


def visible_json(value: Any) -> str:
    """Return the value as JSON on one line, with control and bidirectional characters escaped."""
    return escape_in_json(json.dumps(value, ensure_ascii=False))


def escape_in_json(text: str) -> str:
    """Return JSON text with DEL, C1 control and bidirectional characters escaped."""
    return text.translate(_IN_JSON)


def visible(text: str) -> str:
    """Return the text on one line, with line breaks and control characters escaped."""
    return text.translate(_VISIBLE)


def printable(text: str) -> str:
    """Return a text with control characters escaped, except for tabs and line breaks."""
    return text.translate(_PRINTABLE)


@frozen_dataclass
class Form:
    """Format and minimum level of records. The level may be in any case; TRACE means DEBUG."""

    as_json: bool
    level: str = "INFO"

    def wants(self, level: str) -> bool:
        """Return whether records of this level are written."""
        least = self.level.upper()
        return severity(level) >= severity("DEBUG" if least == "TRACE" else least)

    def line(self, level: str, component: str, message: str, *, at: float, **more: Any) -> str:
        """Return one record as a line of text, newline included; `more` fields are written only in JSON."""
        moment, thousandths = time.localtime(at), int(at * 1000) % 1000
        if not self.as_json:
            stamp = time.strftime("%Y-%m-%d %H:%M:%S", moment)
            return f"{level} {stamp}.{thousandths:03d} {component}] {visible(message)}\n"
        stamp, zone = time.strftime("%Y-%m-%dT%H:%M:%S", moment), time.strftime("%z", moment)
        record = {"time": f"{stamp}.{thousandths:03d}{zone[:3]}:{zone[3:]}", "level": level}
        return visible_json(record | {"component": component, "message": message} | more) + "\n"
