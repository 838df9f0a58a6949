"""Build the `Plan` from all decisions and render the files of the run directory."""

from collections.abc import Mapping
from dataclasses import dataclass

from nim import __version__
from nim.engine import OptionTable
from nim.errors import SettingsError
from nim.options.api_keys import KEY_VARIABLE
from nim.options.derived_options import HostFacts
from nim.options.nginx_settings import decide_gateway
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
from nim.redact import MASK, is_secret_name
from nim.render.nginx import render_nginx
from nim.render.vllm import read_args, render_args
from nim.selection.select import Selection
from nim.settings import Settings
from nim.value_origins import Layer, Value

# Where the engine looks for what it would also take as an option.
SECRET_VARIABLES = {"api_key": "VLLM_API_KEY", "hf_token": "HF_TOKEN"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """All decisions. `weights` names the model to the engine; `verbatim` is passed on unchecked."""

    settings: Settings
    host: HostFacts
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


def assemble(decided: Decided) -> Plan:
    """Return the plan. Its argument list is parsed from the rendered file: what is printed is what runs."""
    settings, host = decided.settings, decided.host
    _refuse_secrets(decided.config)
    args = _render_args(decided)
    gateway, gateway_warnings = decide_gateway(settings, host, decided.config)
    # The gateway checks the key on all routes, for two headers; the engine would check one of them.
    unset = (*decided.unset, *([KEY_VARIABLE] if gateway.api_keys else []))
    engine = _engine(decided, args, unset)
    nginx = render_nginx(
        gateway,
        run_dir=host.run_dir,
        engine_address=engine.address,
        log_level=settings.log_level,
        json_logs=settings.jsonl_logging,
        open_files=host.open_files,
    )
    return Plan(
        release=__version__,
        run_dir=host.run_dir,
        cache_dir=host.cache_dir,
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
        config={name: _shown(name, value) for name, value in decided.config.items()},
        machine=decided.machine,
        download=decided.download,
        refused=decided.selection.refused,
        warnings=(*settings.warnings, *decided.selection.warnings, *decided.warnings, *gateway_warnings),
        files=(
            RenderedFile(path=NGINX_FILE, text=nginx),
            RenderedFile(path=ARGS_FILE, text=args),
            RenderedFile(path=MANIFEST_FILE, text=decided.manifest),
        ),
    )


def _engine(decided: Decided, args: str, unset: tuple[str, ...]) -> Engine:
    """Return the plan's engine: command, arguments, environment."""
    port = decided.settings.backend_port
    return Engine(
        name="vllm",
        version=decided.engine_version,
        argv=read_args(args),
        env=_engine_env(decided.config),
        unset=unset,
        socket=None if port else f"{decided.host.run_dir}/{ENGINE_SOCKET}",
        port=port,
    )


def _refuse_secrets(config: Mapping[str, Value]) -> None:
    """Raise SettingsError for a secret among the arguments, which any process of the machine can read."""
    for name, value in config.items():
        if is_secret_name(name) and not _is_variable(name):
            raise SettingsError(
                f"cannot pass a secret by --{name.replace('_', '-')} (from {value.origin.place}): "
                "any user who lists the processes can read it",
                hint=f"{SECRET_VARIABLES.get(name, 'a VLLM_* variable')}=…",
            )


def _render_args(decided: Decided) -> str:
    """Return the text of `vllm.args`."""
    options = {name: value.value for name, value in decided.config.items() if not _is_variable(name)}
    return render_args(decided.command, decided.weights, options, decided.table, decided.verbatim)


def _engine_env(config: Mapping[str, Value]) -> dict[str, str]:
    """Return the variables to add to the inherited environment, without the user's secrets."""
    return {
        name: str(value.value)
        for name, value in config.items()
        if _is_variable(name) and not (is_secret_name(name) and value.origin.layer is Layer.ENV)
    }


def _is_variable(name: str) -> bool:
    """Return whether an option name stands for an environment variable: it is in upper case."""
    return name.isupper()


def _shown(name: str, value: Value) -> Value:
    """Return a resolved value with secrets masked."""
    if not is_secret_name(name):
        return value
    hidden = tuple(Value(value=MASK, origin=older.origin) for older in value.previous)
    return Value(value=MASK, origin=value.origin, previous=hidden)
