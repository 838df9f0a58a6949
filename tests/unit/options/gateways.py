"""The gateway's configuration for given variables, machine and engine options."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from nim.options.derived_options import HostFacts
from nim.options.resolve_nginx_settings import decide_gateway
from nim.plan import Gateway
from nim.settings import read_settings
from nim.value_origins import Layer, Origin, Value

AROUND = HostFacts(
    run_dir="/run/nim",
    cache_dir="/cache",
    runtime_cache_dir="/cache/vllm",
    offline=False,
    user=None,
    has_ipv6=False,
    worker_processes=2,
    open_files=65_536,
)


def decided(
    environ: Mapping[str, str] | None = None,
    *,
    engine_keeps: Any = "3600",
    options: Mapping[str, Any] | None = None,
    **around: Any,
) -> tuple[Gateway, tuple[str, ...]]:
    """Return the gateway for these variables, and its warnings. `options` are more of the engine's."""
    origin = Origin(layer=Layer.ENV, place="VLLM_HTTP_TIMEOUT_KEEP_ALIVE")
    values = {"VLLM_HTTP_TIMEOUT_KEEP_ALIVE": engine_keeps, **(options or {})}
    config = {name: Value(value=value, origin=origin) for name, value in values.items()}
    return decide_gateway(read_settings(environ or {}), replace(AROUND, **around), config)
