"""Resolve nginx's configuration: where it listens, its time-outs and limits, and which routes are open."""

from collections.abc import Mapping

from nim.errors import SettingsError
from nim.options.derived_options import HostFacts
from nim.options.resolve_api_keys import decide_api_keys, decide_limits
from nim.options.resolve_cors import decide_cors
from nim.options.resolve_tls import decide_tls
from nim.plan import Gateway, most_connections
from nim.routes import OPEN_BY_DEFAULT, Group
from nim.settings import Settings
from nim.settings.read_route_groups import open_groups
from nim.value_origins import Value

KEEPALIVE_VARIABLE = "VLLM_HTTP_TIMEOUT_KEEP_ALIVE"
UPSTREAM_KEEPALIVE_SECONDS = 60
USUAL_CONNECTIONS = 16_384
FEW_CONNECTIONS, FEWEST_CONNECTIONS = 4_096, 128


def decide_gateway(
    settings: Settings,
    environment: HostFacts,
    config: Mapping[str, Value],
    tasks: tuple[str, ...] | None = None,
    *,
    catalog: bool = False,
) -> tuple[Gateway, tuple[str, ...]]:
    """Return (Gateway, warnings): nginx's ports, time-outs, limits, TLS, keys, CORS. Or SettingsError.

    `tasks`: what the model does; None if that is not known. `catalog`: there is an asset store.
    """
    connections, warnings = _connections(settings, environment.open_files)
    health_port, more = _health_port(settings)
    tls, unused = decide_tls(settings)
    api_keys, about_keys = decide_api_keys(settings, config, environment.nginx_modules)
    mutual = tls is not None and tls.client_authorities is not None
    cors, about_pages = decide_cors(settings, config, mutual_tls=mutual, keys=api_keys is not None)
    gateway = Gateway(
        server_port=settings.server_port,
        health_port=health_port,
        listen_ipv6=environment.has_ipv6,
        user=environment.user,
        worker_processes=environment.worker_processes,
        max_body_size=settings.max_body_size,
        tokenizer_body_size=settings.tokenizer_body_size,
        read_timeout_seconds=settings.proxy_read_timeout,
        send_timeout_seconds=settings.proxy_send_timeout,
        header_timeout_seconds=settings.proxy_header_timeout,
        client_timeout_seconds=settings.proxy_client_timeout,
        keepalive_timeout_seconds=settings.proxy_keepalive_timeout,
        upstream_keepalive_timeout_seconds=_upstream_keepalive(settings, config),
        connections=connections,
        route_groups=route_groups(settings, catalog=catalog),
        assets_size=settings.assets_max_size if catalog else None,
        tasks=tasks,
        tls=tls,
        api_keys=api_keys,
        limits=decide_limits(settings, keys=api_keys is not None),
        cors=cors,
    )
    return gateway, (*warnings, *more, *unused, *about_keys, *about_pages)


def _health_port(settings: Settings) -> tuple[int | None, tuple[str, ...]]:
    """Return (health port, ()); (None, one warning) if it equals the API's port."""
    if settings.health_port != settings.server_port:
        return settings.health_port, ()
    said = "is the API's port, which answers the health routes anyway: there is no listener of their own"
    return None, (f"NIM_HEALTH_PORT '{settings.health_port}' {said}",)


def route_groups(settings: Settings, *, catalog: bool) -> tuple[Group, ...]:
    """Return the open route groups; SettingsError for one in NIM_ROUTES whose feature is off."""
    groups = open_groups(settings.routes, (*OPEN_BY_DEFAULT, Group.ASSETS) if catalog else OPEN_BY_DEFAULT)
    if Group.ASSETS in groups and not catalog:
        raise SettingsError(
            f"cannot use NIM_ROUTES '{','.join(settings.routes)}' (from the environment): the group assets "
            "is for requests as the catalog has them, which are off",
            hint="NIM_CATALOG=1",
        )
    if Group.ADAPTERS in groups and settings.peft_source is None:
        raise SettingsError(
            f"cannot use NIM_ROUTES '{','.join(settings.routes)}' (from the environment): the group adapters "
            "loads what is below NIM_PEFT_SOURCE, which is not set",
            hint="NIM_PEFT_SOURCE=/path/to/adapters",
        )
    return groups


def _upstream_keepalive(settings: Settings, config: Mapping[str, Value]) -> int:
    """Return nginx's upstream keep-alive in seconds; SettingsError above half the engine's."""
    engine = config[KEEPALIVE_VARIABLE]
    seconds = _engine_seconds(engine)
    given = settings.proxy_upstream_keepalive_timeout
    if given is not None and given * 2 > seconds:
        raise SettingsError(
            f"cannot use NIM_PROXY_UPSTREAM_KEEPALIVE_TIMEOUT '{given}' (from the environment): the engine "
            f"keeps an idle connection for {seconds} s ({KEEPALIVE_VARIABLE}, from {engine.origin.place}), "
            f"and at most half of that is safe",
            hint=f"{KEEPALIVE_VARIABLE}={given * 2}",
        )
    return given or min(UPSTREAM_KEEPALIVE_SECONDS, seconds // 2)


def _engine_seconds(engine: Value) -> int:
    """Return the engine's keep-alive time in seconds; SettingsError if it is no number from 2 on."""
    text = str(engine.value)
    if not text.isascii() or not text.isdigit() or int(text) < 2:
        raise SettingsError(
            f"cannot use {KEEPALIVE_VARIABLE} '{text}' (from {engine.origin.place}): expected whole seconds, "
            "at least 2, or requests would meet connections that the engine just closed",
            hint=f"unset {KEEPALIVE_VARIABLE}",
        )
    return int(text)


def _connections(settings: Settings, open_files: int) -> tuple[int, tuple[str, ...]]:
    """Return (connections per nginx worker, warnings); SettingsError if open files allow too few."""
    room, given = most_connections(open_files), settings.proxy_connections
    if given and given < FEWEST_CONNECTIONS:
        raise SettingsError(
            f"cannot use NIM_PROXY_CONNECTIONS '{given}' (from the environment): "
            f"expected at least {FEWEST_CONNECTIONS}",
            hint=f"NIM_PROXY_CONNECTIONS={FEWEST_CONNECTIONS}",
        )
    if (wanted := given or USUAL_CONNECTIONS) <= room:
        return wanted, ()
    limit = f"a process may have {open_files} open files, enough for {room} connections"
    enough = -(-wanted * 8 // 5)
    more = f"ulimit -n {enough}, or for a container --ulimit nofile={enough}"
    if room < FEWEST_CONNECTIONS:
        raise SettingsError(f"cannot start the gateway: {limit}", hint=more)
    if given:
        raise SettingsError(
            f"cannot use NIM_PROXY_CONNECTIONS '{given}' (from the environment): {limit}", hint=more
        )
    said = f"{limit} in each of the gateway's processes instead of {wanted}: {more}"
    return room, (said,) if room < FEW_CONNECTIONS else ()
