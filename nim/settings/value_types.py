"""The kinds of value that a variable can have, each with its reader."""

import json
import re
from contextlib import suppress

from nim.settings.read_route_groups import read_groups
from nim.settings.types import Kind

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})
_FRACTION_OF_A_SECOND = re.compile(r"0+(\.[0-9]*)?|\.[0-9]+")
MOST_SECONDS = 7 * 24 * 3600
# Names used by Python and other loggers, and by NIM 1.x, where DEFAULT is INFO.
_OTHER_LEVELS = {"WARN": "WARNING", "FATAL": "CRITICAL", "TRACE": "DEBUG", "DEFAULT": "INFO"}
DASK_WORKER_KINDS = ("processes", "threads")
SSL_MODES = ("DISABLED", "TLS", "MTLS")
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


def _text(text: str) -> str:
    """Return the text unchanged."""
    return text


def _boolean(text: str) -> bool:
    """Return True for 1, true, yes, on; False for 0, false, no, off; ValueError otherwise."""
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise ValueError("expected 1 or 0 (true, false, yes, no, on and off are understood)")


def _whole(text: str) -> int:
    """Return the whole number above 0 in the text; ValueError otherwise."""
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        raise ValueError("expected a whole number above 0")
    return int(text)


def _port(text: str) -> int:
    """Return the port number, 1 to 65535, in the text; ValueError otherwise."""
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65536:
        raise ValueError("expected a port between 1 and 65535")
    return int(text)


def _limit(text: str) -> int:
    """Return the whole number, 1 to 65535 (most that nginx counts), in the text; ValueError otherwise."""
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65536:
        raise ValueError("expected a whole number between 1 and 65535")
    return int(text)


def _seconds(text: str) -> float:
    """Return the seconds in the text as a float, 0 or more; ValueError otherwise."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 1e9:
        raise ValueError("expected seconds, 0 or more")
    return seconds


def _duration(text: str) -> int:
    """Return the whole seconds in 600, 10m or 4h, from 1 to a week; ValueError otherwise."""
    number = text.rstrip("smhSMH")
    unit = text[len(number) :].lower()
    if not number.isascii() or not number.isdigit() or len(unit) > 1:
        raise ValueError("expected whole seconds such as 600, or 10m or 4h")
    seconds = int(number[:9]) * {"m": 60, "h": 3600}.get(unit, 1)
    if seconds > MOST_SECONDS:
        raise ValueError("expected at most a week (168h)")
    if seconds == 0:
        raise ValueError("expected at least a second")
    return seconds


def _duration_or_off(text: str) -> float:
    """Return the seconds in 600, 10m or 4h as a float, 0.0 for 0; ValueError otherwise."""
    if _FRACTION_OF_A_SECOND.fullmatch(text):
        if text.strip("0."):
            raise ValueError("expected 0, or at least 1 second")
        return 0.0
    return float(_duration(text))


def _size(text: str) -> str:
    """Return nginx's size, such as 0, 500m or 2g, as lower-case text; ValueError otherwise."""
    number = text.rstrip("kKmMgG")
    if not number.isascii() or not number.isdigit() or len(text) - len(number) > 1:
        raise ValueError("expected a size such as 0 (no limit), 500m or 2g")
    if len(number) > 9:
        raise ValueError("expected a size of at most nine digits, with k, m or g behind them")
    return text.lower()


def _level(text: str) -> str:
    """Return the Python log level's name in upper case, WARN as WARNING; ValueError otherwise."""
    level = _OTHER_LEVELS.get(text.upper(), text.upper())
    if level not in LOG_LEVELS:
        raise ValueError(f"expected one of {', '.join(LOG_LEVELS)}")
    return level


def _ssl_mode(text: str) -> str:
    """Return the mode in upper case, DISABLED for "", 0, off and none; ValueError for an unknown one."""
    mode = {"": "DISABLED", "0": "DISABLED", "OFF": "DISABLED", "NONE": "DISABLED"}.get(
        text.upper(), text.upper()
    )
    if mode not in SSL_MODES:
        raise ValueError(f"expected one of {', '.join(SSL_MODES)}")
    return mode


def _path(text: str) -> str:
    """Return the path unchanged; ValueError if it begins with ~. The file is not looked at."""
    if text.startswith("~"):
        raise ValueError("expected a path that begins with / or a name: ~ is replaced by shells alone")
    return text


def _names(text: str) -> tuple[str, ...]:
    """Return the names in a comma-separated list or JSON array as a tuple; ValueError if there is none."""
    words = text.split(",")
    if text.startswith("["):
        with suppress(ValueError):
            words = [str(word) for word in json.loads(text)]
    names = tuple(word.strip() for word in words if word.strip())
    if not names:
        raise ValueError("expected a name, or several with commas between them")
    return names


def _catalog(text: str) -> str:
    """Return "on", "off" or "strict"; ValueError for other words."""
    if text.lower() == "strict":
        return "strict"
    try:
        return "on" if _boolean(text) else "off"
    except ValueError:
        raise ValueError("expected 1, 0 or strict") from None


def _dask_workers(text: str) -> str:
    """Return "processes" or "threads"; ValueError for other words."""
    if text not in DASK_WORKER_KINDS:
        raise ValueError(f"expected one of {', '.join(DASK_WORKER_KINDS)}")
    return text


TEXT = Kind(name="text", read=_text)
ARGUMENTS = Kind(name="arguments", read=_text)
PATH = Kind(name="path", read=_path)
BOOLEAN = Kind(name="boolean", read=_boolean)
WHOLE = Kind(name="whole number", read=_whole)
LIMIT = Kind(name="whole number up to 65535", read=_limit)
PORT = Kind(name="port", read=_port)
SECONDS = Kind(name="seconds", read=_seconds)
DURATION = Kind(name="duration", read=_duration)
DURATION_OR_OFF = Kind(name="duration or 0", read=_duration_or_off)
SIZE = Kind(name="size", read=_size)
LEVEL = Kind(name="log level", read=_level)
SSL_MODE = Kind(name="TLS mode", read=_ssl_mode)
NAMES = Kind(name="names", read=_names)
# Settings of an engine option keep their text, which the option's own reader checks like a flag's value.
OPTION_COUNT = Kind(name="whole number", read=_text)
OPTION_LENGTH = Kind(name="whole number, `8k` or `auto`", read=_text)
OPTION_SHARE = Kind(name="fraction", read=_text)
OPTION_WORD = Kind(name="one of the engine's", read=_text)
CATALOG = Kind(name="boolean or `strict`", read=_catalog)
DASK_WORKERS = Kind(name="`processes` or `threads`", read=_dask_workers)
ROUTE_GROUPS = Kind(name="route groups", read=read_groups)
