"""Build the `Plan` from all decisions and render the files of the run directory."""

from collections.abc import Mapping
from dataclasses import replace

from nim import __version__
from nim.engine import OptionTable
from nim.frozen_dataclass import frozen_dataclass
from nim.options.derived_options import HostFacts
from nim.options.features.resolve_plugins import CATALOG_RULES
from nim.options.resolve_api_keys import KEY_VARIABLE
from nim.options.resolve_cors import CORS_OPTIONS
from nim.options.resolve_nginx_settings import decide_gateway
from nim.plan import (
    ARGS_FILE,
    ENGINE_SOCKET,
    MANIFEST_FILE,
    AdapterPlan,
    AgentPlan,
    Download,
    Engine,
    Gateway,
    Model,
    Plan,
    ReadAhead,
    RenderedFile,
    WarmUp,
    agent_routes,
)
from nim.planning.refuse_and_mask_secrets import engine_env, is_variable, refuse_secrets, shown_config
from nim.redact import without
from nim.render.nginx import nginx_files
from nim.render.vllm_args import read_args, render_args
from nim.selection.select import Selection
from nim.settings import Settings
from nim.value_origins import Value


@frozen_dataclass
class Decided:
    """All decisions. `weights` names the model to the engine; `verbatim` is passed on unchecked.

    `secrets` are masked in warnings.
    """

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
    adapters: AdapterPlan | None = None
    read_ahead: ReadAhead | None = None
    warm_up: WarmUp | None = None
    agent: AgentPlan | None = None
    unset: tuple[str, ...] = ()
    verbatim: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()


def assemble(decided: Decided) -> Plan:
    """Return the Plan with rendered nginx and argument texts; writes nothing. SettingsError for secrets."""
    settings, host = decided.settings, decided.host
    refuse_secrets(decided.config, decided.verbatim, decided.command)
    args = _render_args(decided)
    gateway, gateway_warnings = _gateway(decided)
    # The gateway checks the key on all routes, for two headers; the engine would check one of them.
    engine = _engine(decided, args, (*decided.unset, *([KEY_VARIABLE] if gateway.api_keys else [])))
    warnings = (*settings.warnings, *decided.selection.warnings, *decided.warnings, *gateway_warnings)
    nginx = _nginx(decided, gateway, engine.address)
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
        config=shown_config(decided.config, decided.table),
        machine=decided.machine,
        download=decided.download,
        adapters=decided.adapters,
        read_ahead=decided.read_ahead,
        warm_up=decided.warm_up,
        agent=decided.agent,
        refused=decided.selection.refused,
        warnings=tuple(without(decided.secrets, warning) for warning in warnings),
        files=(
            *(RenderedFile(path=name, text=text) for name, text in nginx.items()),
            RenderedFile(path=ARGS_FILE, text=args),
            RenderedFile(path=MANIFEST_FILE, text=decided.manifest),
        ),
    )


def _gateway(decided: Decided) -> tuple[Gateway, tuple[str, ...]]:
    """Return (the plan's Gateway, warnings); SettingsError for settings that cannot work."""
    config = decided.config
    catalog = CATALOG_RULES in config
    gateway, warnings = decide_gateway(
        decided.settings, decided.host, config, decided.model.tasks, catalog=catalog
    )
    if decided.agent:
        routes = agent_routes(decided.agent.front_end, jobs=decided.agent.jobs is not None)
        gateway = replace(gateway, agent_routes=routes)
    return gateway, warnings


def _nginx(decided: Decided, gateway: Gateway, engine_address: str) -> dict[str, str]:
    """Return {file name: text} of nginx's configurations."""
    return nginx_files(
        gateway,
        run_dir=decided.host.run_dir,
        engine_address=engine_address,
        log_level=decided.settings.log_level,
        json_logs=decided.settings.jsonl_logging,
        open_files=decided.host.open_files,
    )


def _engine(decided: Decided, args: str, unset: tuple[str, ...]) -> Engine:
    """Return the plan's Engine: command line, environment variables, socket or port."""
    port = decided.settings.backend_port
    return Engine(
        name="vllm",
        version=decided.engine_version,
        argv=read_args(args),
        env=engine_env(decided.config, decided.table),
        unset=unset,
        socket=None if port else f"{decided.host.run_dir}/{ENGINE_SOCKET}",
        port=port,
    )


def _render_args(decided: Decided) -> str:
    """Return the text of the file `vllm.args`: command, model and options, without those of the gateway."""
    options = {
        name: value.value
        for name, value in decided.config.items()
        if not is_variable(name) and name not in CORS_OPTIONS
    }
    return render_args(decided.command, decided.weights, options, decided.table, decided.verbatim)
