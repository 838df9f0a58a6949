"""The format of every line on stderr: text or JSON, one line a record."""

import json
import time
from dataclasses import dataclass
from typing import Any

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

# Escapes control characters, so that a record stays on one line and cannot control a terminal.
_VISIBLE = {code: f"\\x{code:02x}" for code in (*range(9), *range(11, 32), 127)} | {10: "\\n"}


def severity(level: str) -> int:
    """Return the rank of a level; unknown levels rank as INFO."""
    return LEVELS.index(level) if level in LEVELS else LEVELS.index("INFO")


def visible(text: str) -> str:
    """Return the text with line breaks and terminal control characters escaped."""
    return text.translate(_VISIBLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """Format and minimum level of records. The level may be in any case; TRACE means DEBUG."""

    as_json: bool
    level: str = "INFO"

    def wants(self, level: str) -> bool:
        """Return whether records of this level are written."""
        least = self.level.upper()
        return severity(level) >= severity("DEBUG" if least == "TRACE" else least)

    def line(self, level: str, component: str, message: str, *, at: float, **more: Any) -> str:
        """Return one record as a line. `at` is in Unix seconds; `more` is written only in JSON."""
        moment, thousandths = time.localtime(at), int(at * 1000) % 1000
        if not self.as_json:
            stamp = time.strftime("%Y-%m-%d %H:%M:%S", moment)
            return f"{level} {stamp}.{thousandths:03d} {component}] {visible(message)}\n"
        stamp, zone = time.strftime("%Y-%m-%dT%H:%M:%S", moment), time.strftime("%z", moment)
        record = {"time": f"{stamp}.{thousandths:03d}{zone[:3]}:{zone[3:]}", "level": level}
        return (
            json.dumps(record | {"component": component, "message": message} | more, ensure_ascii=False)
            + "\n"
        )
