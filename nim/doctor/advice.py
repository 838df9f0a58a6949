"""Consequences of each finding, and the settings of common ingresses that fix it."""

from collections.abc import Mapping

from nim.frozen_dataclass import frozen_dataclass

NGINX, INGRESS_NGINX, HAPROXY, ENVOY = "nginx", "ingress-nginx", "HAProxy", "Envoy"
ALB, GKE, CLOUDFLARE, APACHE, NIM = "AWS ALB", "GKE ingress", "Cloudflare", "Apache", "this service"
_ANNOTATION = "nginx.ingress.kubernetes.io/"


@frozen_dataclass
class Advice:
    """The consequence of a finding and its fixes. `settings` are pairs of an ingress and its setting."""

    why: str
    settings: tuple[tuple[str, str], ...] = ()


_NO_BUFFERS = (
    (NGINX, "proxy_buffering off;"),
    (INGRESS_NGINX, f'{_ANNOTATION}proxy-buffering: "off"'),
    (HAPROXY, "option http-no-delay; no `http-response wait-for-body`"),
    (APACHE, "ProxyPass … flushpackets=on"),
)
_CLIENT_ABORT = (
    (NGINX, "proxy_ignore_client_abort off;"),
    (HAPROXY, "option abortonclose"),
    ("a proxy of your own", "close the connection to the service when the client closes its own"),
)

ADVICE: Mapping[str, Advice] = {
    "buffering": Advice(
        why="users wait for the whole answer: the first token arrives with the last one",
        settings=_NO_BUFFERS,
    ),
    "events": Advice(
        why="text comes in bursts, and times between tokens mean nothing",
        settings=(
            *_NO_BUFFERS,
            (NIM, "run the check at its own address as well: if it fails there too, the machine is busy"),
        ),
    ),
    "compression": Advice(
        why="a compressor delays events to collect data, and small events grow rather than shrink",
        settings=(
            (NGINX, "gzip_types without text/event-stream, or gzip off;"),
            (INGRESS_NGINX, "ConfigMap gzip-types without text/event-stream"),
            (HAPROXY, "compression type without text/event-stream"),
            (ENVOY, "envoy.filters.http.compressor: content_type without text/event-stream"),
            (APACHE, "SetEnv no-gzip 1"),
        ),
    ),
    "framing": Advice(
        why="a client cannot distinguish the end from a cut, or needs a new connection for every request",
        settings=((NGINX, "proxy_http_version 1.1; chunked_transfer_encoding on;"),),
    ),
    "request-id": Advice(
        why="a request that a client reports cannot be found in the service's log",
        settings=(
            (NGINX, "proxy_set_header X-Request-Id $http_x_request_id; no proxy_hide_header for it"),
            (HAPROXY, "no `unique-id-header X-Request-Id`, no `del-header` for it"),
            (ENVOY, "preserve_external_request_id: true, always_set_request_id_in_response: true"),
        ),
    ),
    "server-timing": Advice(
        why="clients cannot separate the engine's time from the network's",
        settings=((NGINX, "no `proxy_hide_header Server-Timing`"),),
    ),
    "health": Advice(
        why="a load balancer's probe checks the ingress instead of the service, which may not be ready",
        settings=(("all", "a route for /v1/health/, to the service, without authentication"),),
    ),
    "health-cache": Advice(
        why="a cached `ready` sends requests to a service that is not ready",
        settings=(
            (NGINX, "proxy_cache off; no `expires` for /v1/health/"),
            (CLOUDFLARE, "a cache rule that bypasses the cache for /v1/"),
        ),
    ),
    "body": Advice(
        why="long contexts, images and audio are refused by the ingress",
        settings=(
            (NGINX, "client_max_body_size 0;  # or 100m"),
            (INGRESS_NGINX, f'{_ANNOTATION}proxy-body-size: "0"'),
            (HAPROXY, "no `deny` by req.body_size or Content-Length"),
            (ENVOY, "envoy.filters.http.buffer: max_request_bytes, or no such filter"),
            (CLOUDFLARE, "100 MB at most on Free and Pro plans"),
            (NIM, "NIM_PROXY_CLIENT_MAX_BODY_SIZE=100m"),
        ),
    ),
    "disconnect-stream": Advice(
        why="the GPU generates for disconnected clients, which delays the others",
        settings=_CLIENT_ABORT,
    ),
    "disconnect-silent": Advice(
        why="the GPU generates for disconnected clients, which delays the others",
        settings=_CLIENT_ABORT,
    ),
    "silence": Advice(
        why="long prompts and non-streaming answers are cut while the engine works on them",
        settings=(
            (NGINX, "proxy_read_timeout 3600s; proxy_send_timeout 3600s;"),
            (INGRESS_NGINX, f'{_ANNOTATION}proxy-read-timeout: "3600"'),
            (HAPROXY, "timeout server 1h, timeout client 1h, timeout tunnel 1h"),
            (ENVOY, "route timeout: 0s and idle_timeout: 3600s; stream_idle_timeout: 3600s"),
            (ALB, "idle_timeout.timeout_seconds=3600"),
            (GKE, "BackendConfig timeoutSec: 3600"),
            (CLOUDFLARE, "ask for streams: the time to the first byte is limited (error 524)"),
        ),
    ),
    "keep-alive": Advice(
        why="clients open more connections, and sometimes send a request on one that is just being closed",
        settings=(
            (NGINX, "keepalive_timeout 650s;"),
            (INGRESS_NGINX, 'ConfigMap keep-alive: "650"'),
            (HAPROXY, "timeout http-keep-alive 650s"),
            (ENVOY, "common_http_protocol_options.idle_timeout: 650s"),
            (ALB, "idle_timeout.timeout_seconds=650"),
        ),
    ),
    "error-pages": Advice(
        why="client libraries expect JSON and report a parse error instead of the reason",
        settings=(
            (NGINX, "proxy_intercept_errors off; any pages set by `error_page` in JSON"),
            (INGRESS_NGINX, f"no {_ANNOTATION}custom-http-errors"),
            (HAPROXY, "errorfile STATUS FILE, with JSON in the file"),
        ),
    ),
}
