"""Proxies in front of an engine: this project's gateway and the alternatives."""

from bench.peers import caddy, envoy, haproxy, litellm, nginx_stream, rust_routers
from bench.peers.aiohttp_proxy import AIOHTTP
from bench.peers.gateway import GATEWAY, GATEWAY_TCP, SERVICE
from bench.peers.peer import Peer
from bench.peers.place import Packages

FAST: tuple[Peer, ...] = (
    GATEWAY,
    GATEWAY_TCP,
    haproxy.HAPROXY,
    haproxy.HAPROXY_UNIX,
    haproxy.HAPROXY_TCP,
    nginx_stream.STREAM,
    nginx_stream.STREAM_UNIX,
)
"""Near enough to each other to be measured together."""

BESIDE: tuple[Peer, ...] = (
    SERVICE,
    envoy.ENVOY,
    caddy.CADDY,
    rust_routers.VLLM_ROUTER,
    rust_routers.SGLANG_ROUTER,
    AIOHTTP,
    litellm.LITELLM,
)
"""Each is measured with the gateway and the bare upstream only."""

PACKAGES: tuple[Packages, ...] = (
    haproxy.PROGRAM,
    nginx_stream.MODULE,
    envoy.PACKAGE,
    caddy.PROGRAM,
    rust_routers.VLLM,
    rust_routers.SGLANG,
    litellm.PACKAGE,
)
