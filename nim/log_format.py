"""One line a record, for a human or as JSON: the one form in which everything here reaches stderr."""

import json
import time
from dataclasses import dataclass
from typing import Any

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

# A record stays on its line and cannot drive a terminal, whatever a client or an engine put into it.
_VISIBLE = {code: f"\\x{code:02x}" for code in (*range(9), *range(11, 32), 127)} | {10: "\\n"}


def severity(level: str) -> int:
    """The rank of a level; one that nobody knows counts as INFO."""
    return LEVELS.index(level) if level in LEVELS else LEVELS.index("INFO")


def visible(text: str) -> str:
    """The text without what would leave its line or drive a terminal."""
    return text.translate(_VISIBLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How records look and which are wanted. A level of the user's may be in any case; TRACE is DEBUG."""

    as_json: bool
    level: str = "INFO"

    def wants(self, level: str) -> bool:
        """Whether a record of this level is written at all."""
        least = self.level.upper()
        return severity(level) >= severity("DEBUG" if least == "TRACE" else least)

    def line(self, level: str, component: str, message: str, *, at: float, **more: Any) -> str:
        """One record with its newline. `at` is in Unix seconds; `more` is for machines: JSON alone has it."""
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
