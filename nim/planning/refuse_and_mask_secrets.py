"""Secrets in what was decided: refused as arguments, masked in the plan, inherited by the engine."""

from collections.abc import Mapping, Sequence
from typing import Any

from nim.engine import OptionTable
from nim.engine.warn_environment_names import PREFIX
from nim.errors import SettingsError
from nim.redact import MASK, mask_argv, mask_value, secret_in
from nim.value_origins import Layer, Value

# Where the engine looks for what it would also take as an option.
SECRET_VARIABLES = {
    "api_key": "VLLM_API_KEY",
    "hf_token": "HF_TOKEN",
    "hf_overrides": "HF_TOKEN",
    "otlp_traces_endpoint": "OTEL_EXPORTER_OTLP_TRACES_HEADERS=authorization",
}


def refuse_secrets(config: Mapping[str, Value], verbatim: Sequence[str], command: Sequence[str]) -> None:
    """Raise SettingsError if an option, unchecked argument or engine command contains a secret."""
    for name, value in config.items():
        if not is_variable(name) and (found := secret_in(name, value.value)):
            flag = f"--{name.replace('_', '-')}"
            what = "a secret" if found == name else f"a secret ({found})"
            raise _refusal(f"{what} by {flag} (from {value.origin.place})", SECRET_VARIABLES.get(name))
    for word, shown in zip(verbatim, mask_argv(verbatim), strict=True):
        if word != shown:
            raise _refusal(f'a secret by "{shown}" (passed on unchecked)', None)
    for word, shown in zip(command, mask_argv(command), strict=True):
        if word != shown:
            raise _refusal(f'a secret by "{shown}" (from NIM_ENGINE_COMMAND)', None)


def _refusal(what: str, variable: str | None) -> SettingsError:
    """Return (not raise) the SettingsError for a secret in an argument, with the variable to use instead."""
    return SettingsError(
        f"cannot pass {what}: any user who lists the processes can read it",
        hint=f"{variable or 'a variable that its reader takes instead, such as VLLM_*'}=…",
    )


def engine_env(config: Mapping[str, Value], table: OptionTable) -> dict[str, str]:
    """Return a dict of variables to add to the engine's environment; secrets it inherits are left out."""
    return {
        name: str(value.value)
        for name, value in config.items()
        if is_variable(name) and not (value.origin.layer is Layer.ENV and _is_masked(name, value, table))
    }


def shown_config(config: Mapping[str, Value], table: OptionTable) -> dict[str, Value]:
    """Return the resolved values with secrets masked, as a new dict."""
    return {name: _shown(name, value, table) for name, value in config.items()}


def is_variable(name: str) -> bool:
    """Return True if the name is an environment variable's (upper case), not an option's."""
    return name.isupper()


def _is_masked(name: str, value: Value, table: OptionTable) -> bool:
    """Return True if masking would change the value."""
    return bool(_masked(name, value, table) != value.value)


def _shown(name: str, value: Value, table: OptionTable) -> Value:
    """Return the Value with secrets masked, also in the values it overrode."""
    previous = tuple(_shown(name, older, table) for older in value.previous)
    return Value(value=_masked(name, value, table), origin=value.origin, previous=previous)


def _masked(name: str, value: Value, table: OptionTable) -> Any:
    """Return the bare value with secrets masked; unknown VLLM_* variables are masked whole."""
    known = table.variables.keys() | table.gone_variables.keys()
    stray = name.startswith(PREFIX) and name not in known
    if stray and value.origin.layer is Layer.ENV and value.value:
        return MASK
    return mask_value(name, value.value)
