"""Build the `Plan` from all decisions and render the files of the run directory."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nim import __version__
from nim.engine import OptionTable
from nim.engine.variables import PREFIX
from nim.errors import SettingsError
from nim.options.derive import Surroundings
from nim.options.gateway import decide_gateway
from nim.plan import (
    ARGS_FILE,
    ENGINE_SOCKET,
    MANIFEST_FILE,
    NGINX_FILE,
    Download,
    Engine,
    Model,
    Plan,
    RenderedFile,
)
from nim.redact import MASK, mask_argv, mask_value, secret_in, without
from nim.render.nginx import render_nginx
from nim.render.vllm import read_args, render_args
from nim.selection.select import Selection
from nim.settings import Settings
from nim.value_origins import Layer, Value

# Where the engine looks for what it would also take as an option.
SECRET_VARIABLES = {
    "api_key": "VLLM_API_KEY",
    "hf_token": "HF_TOKEN",
    "hf_overrides": "HF_TOKEN",
    "otlp_traces_endpoint": "OTEL_EXPORTER_OTLP_TRACES_HEADERS=authorization",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """All decisions. `weights` names the model to the engine; `verbatim` is passed on unchecked.

    `secrets` are masked in warnings.
    """

    settings: Settings
    surroundings: Surroundings
    model: Model
    weights: str
    selection: Selection
    config: Mapping[str, Value]
    command: tuple[str, ...]
    engine_version: str | None
    table: OptionTable
    manifest: str
    machine: str = ""
    download: Download | None = None
    unset: tuple[str, ...] = ()
    verbatim: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()


def assemble(decided: Decided) -> Plan:
    """Return the plan. Its argument list is parsed from the rendered file: what is printed is what runs."""
    settings, surroundings = decided.settings, decided.surroundings
    _refuse_secrets(decided)
    args = _render_args(decided)
    engine = _engine(decided, args)
    gateway, gateway_warnings = decide_gateway(settings, surroundings, decided.config)
    warnings = (
        *settings.warnings,
        *decided.selection.warnings,
        *decided.warnings,
        *gateway_warnings,
    )
    nginx = render_nginx(
        gateway,
        run_dir=surroundings.run_dir,
        engine_address=engine.address,
        log_level=settings.log_level,
        json_logs=settings.jsonl_logging,
        open_files=surroundings.open_files,
    )
    return Plan(
        release=__version__,
        run_dir=surroundings.run_dir,
        cache_dir=surroundings.cache_dir,
        log_level=settings.log_level,
        json_logs=settings.jsonl_logging,
        shutdown_timeout_seconds=settings.shutdown_timeout,
        stall_timeout_seconds=settings.stall_timeout,
        probe_interval_seconds=settings.probe_interval,
        cache_probe_seconds=settings.cache_probe_timeout,
        model=decided.model,
        profile=decided.selection.chosen,
        engine=engine,
        gateway=gateway,
        config={name: _shown(name, value, decided.table) for name, value in decided.config.items()},
        machine=decided.machine,
        download=decided.download,
        refused=decided.selection.refused,
        warnings=tuple(without(decided.secrets, warning) for warning in warnings),
        files=(
            RenderedFile(path=NGINX_FILE, text=nginx),
            RenderedFile(path=ARGS_FILE, text=args),
            RenderedFile(path=MANIFEST_FILE, text=decided.manifest),
        ),
    )


def _engine(decided: Decided, args: str) -> Engine:
    """Return the plan's engine: command, arguments, environment."""
    port = decided.settings.backend_port
    return Engine(
        name="vllm",
        version=decided.engine_version,
        argv=read_args(args),
        env=_engine_env(decided.config, decided.table),
        unset=decided.unset,
        socket=None if port else f"{decided.surroundings.run_dir}/{ENGINE_SOCKET}",
        port=port,
    )


def _refuse_secrets(decided: Decided) -> None:
    """Every process of the machine can read another's arguments; a variable only its own user's."""
    for name, value in decided.config.items():
        if not _is_variable(name) and (found := secret_in(name, value.value)):
            flag = f"--{name.replace('_', '-')}"
            what = "a secret" if found == name else f"a secret ({found})"
            raise _refusal(f"{what} by {flag} (from {value.origin.place})", SECRET_VARIABLES.get(name))
    for word, shown in zip(decided.verbatim, mask_argv(decided.verbatim), strict=True):
        if word != shown:
            raise _refusal(f'a secret by "{shown}" (passed on unchecked)', None)
    for word, shown in zip(decided.command, mask_argv(decided.command), strict=True):
        if word != shown:
            raise _refusal(f'a secret by "{shown}" (from NIM_ENGINE_COMMAND)', None)


def _refusal(what: str, variable: str | None) -> SettingsError:
    return SettingsError(
        f"cannot pass {what}: any user who lists the processes can read it",
        hint=f"{variable or 'a variable that its reader takes instead, such as VLLM_*'}=…",
    )


def _render_args(decided: Decided) -> str:
    """Return the text of `vllm.args`."""
    options = {name: value.value for name, value in decided.config.items() if not _is_variable(name)}
    return render_args(decided.command, decided.weights, options, decided.table, decided.verbatim)


def _engine_env(config: Mapping[str, Value], table: OptionTable) -> dict[str, str]:
    """What is added to the inherited environment. What is masked in it is inherited, not written down."""
    return {
        name: str(value.value)
        for name, value in config.items()
        if _is_variable(name) and not (value.origin.layer is Layer.ENV and _is_masked(name, value, table))
    }


def _is_variable(name: str) -> bool:
    """Return whether an option name stands for an environment variable: it is in upper case."""
    return name.isupper()


def _is_masked(name: str, value: Value, table: OptionTable) -> bool:
    return bool(_masked(name, value, table) != value.value)


def _shown(name: str, value: Value, table: OptionTable) -> Value:
    previous = tuple(_shown(name, older, table) for older in value.previous)
    return Value(value=_masked(name, value, table), origin=value.origin, previous=previous)


def _masked(name: str, value: Value, table: OptionTable) -> Any:
    """Return the value as it may be shown. What an undeclared variable holds is unknown, so it is masked."""
    known = table.variables.keys() | table.gone_variables.keys()
    stray = name.startswith(PREFIX) and name not in known
    if stray and value.origin.layer is Layer.ENV and value.value:
        return MASK
    return mask_value(name, value.value)
