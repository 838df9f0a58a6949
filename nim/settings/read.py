"""Read the environment into `Settings`. Invalid values are refused with the variable's name."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from nim.errors import SettingsError, nearest
from nim.redact import MASK, is_secret_name
from nim.settings.clean_pasted_values import cleaned, is_blank, reference
from nim.settings.declared import IGNORED, NOT_SUPPORTED, REFUSED, Settings, declared
from nim.settings.types import Absent, Setting
from nim.settings.value_types import ARGUMENTS
from nim.settings.variables_of_other_releases import OTHER_RELEASES

_PREFIX = "NIM_"
_ALIKE = 0.7


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Return the Settings in `environ`; SettingsError for an invalid value. Blank ones count as unset."""
    values: dict[str, Any] = {}
    names_used: dict[str, str] = {}
    warnings: list[str] = []
    for field_name, declaration in declared().items():
        name = _name_given(declaration, environ, warnings)
        if name is not None:
            text, warning = cleaned(declaration, name, environ[name])
            warnings += [warning] if warning else []
            values[field_name] = _read(declaration, name, text)
            names_used[field_name] = name
    warnings.extend(_unknown(environ))
    settings = Settings(**values, names_used=MappingProxyType(names_used), warnings=tuple(warnings))
    _refuse_shared_ports(settings)
    return replace(settings, warnings=(*warnings, *_probes_too_seldom(settings)))


def _name_given(declaration: Setting, environ: Mapping[str, str], warnings: list[str]) -> str | None:
    """Return the variable that sets a setting, None if none does; append warnings of aliases."""
    given = [name for name in declaration.names if not is_blank(environ.get(name, ""))]
    for name in given:
        if name in declaration.aliases:
            warnings.append(f"{name} is an older name: use {declaration.name}")
    for other in given[1:]:
        if environ[other] != environ[given[0]]:
            warnings.append(f"{other} is ignored: {given[0]} is set and says otherwise")
    return given[0] if given else None


def _read(declaration: Setting, name: str, text: str) -> Any:
    """Return a variable's converted value; SettingsError if it is invalid."""
    if declaration.kind is not ARGUMENTS and (found := reference(text)):
        message = f"cannot use {name} '{text}' (from the environment): nothing replaces {found} here"
        raise SettingsError(message, hint=f"{name}=… with the value itself, as env files and YAML need it")
    try:
        return declaration.kind.read(text)
    except ValueError as error:
        shown = MASK if is_secret_name(name) else text
        message = f"cannot use {name} '{shown}' (from the environment): {error}"
        raise SettingsError(message, hint=f"nim settings {declaration.name}") from None


def _probes_too_seldom(settings: Settings) -> Iterator[str]:
    """Yield a warning if NIM_PROBE_INTERVAL does not suit NIM_STALL_TIMEOUT."""
    timeout, interval = settings.stall_timeout, settings.probe_interval
    if not timeout and settings.given("probe_interval") and interval:
        yield "NIM_PROBE_INTERVAL does nothing: NIM_STALL_TIMEOUT=0 looks for no stalls"
    elif interval > timeout / 2 > 0:
        # An interval of 0 s would disable probes.
        half = timeout // 2
        remedy = f"NIM_PROBE_INTERVAL={half:g}" if half else f"NIM_STALL_TIMEOUT={2 * interval:g}"
        yield (
            f"NIM_PROBE_INTERVAL={interval:g} is more than half of NIM_STALL_TIMEOUT={timeout:g}: that an "
            f"idle engine stands still can take {interval + timeout / 2:g} s to be noticed; "
            f"{remedy} keeps to the time-out"
        )


def _refuse_shared_ports(settings: Settings) -> None:
    """Raise SettingsError if NIM_BACKEND_PORT is also the API's or the health port.

    A health port equal to the API's port is allowed: it makes no second listener.
    """
    for field in ("server_port", "health_port"):
        if settings.backend_port is not None and getattr(settings, field) == settings.backend_port:
            other = settings.names_used.get(field, declared()[field].name)
            raise SettingsError(
                f"cannot use NIM_BACKEND_PORT '{settings.backend_port}': {other} is the same port",
                hint="unset NIM_BACKEND_PORT: the engine then has a private unix socket",
            )


def _unknown(environ: Mapping[str, str]) -> list[str]:
    """Return warnings about unsupported or misspelt NIM_* variables; SettingsError for refused ones."""
    known = [name for declaration in declared().values() for name in declaration.names]
    warnings = []
    for name in sorted(environ):
        if not name.startswith(_PREFIX) or name in known or name in IGNORED or is_blank(environ[name]):
            continue
        if name in REFUSED:
            _refuse(name, environ[name], REFUSED[name])
        elif name in OTHER_RELEASES:
            warning = OTHER_RELEASES[name].warning(name, environ[name])
            warnings += [warning] if warning else []
        elif name in NOT_SUPPORTED:
            warnings.append(f"{name} is not supported: use {NOT_SUPPORTED[name]}")
        else:
            near = _alike(name, [*known, *OTHER_RELEASES, *NOT_SUPPORTED])
            warnings.append(f"{name} is not known" + (f": did you mean {near}?" if near else ""))
    return warnings


def _alike(name: str, known: Sequence[str]) -> str | None:
    """Return the known variable most similar to `name`; None if none is similar enough for a typo."""
    words = [other.removeprefix(_PREFIX) for other in known]
    near = nearest(name.removeprefix(_PREFIX), words, count=1, cutoff=_ALIKE)
    return _PREFIX + near[0] if near else None


def _refuse(name: str, text: str, absent: Absent) -> None:
    """Raise SettingsError for an unsupported variable, unless its value is harmless."""
    if text.strip().lower() not in absent.harmless:
        message = f"cannot use {name} '{text}' (from the environment): {absent.because}"
        raise SettingsError(message, hint=f"unset {name}, and use {absent.instead}")
