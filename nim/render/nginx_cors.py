"""Values of the gateway's CORS in the templates of nginx."""

import re
from collections.abc import Iterable
from typing import Any

from nim.options.parse_cors_words import ANY, LOCAL
from nim.plan import Gateway
from nim.render.nginx_quoting import Verbatim

_OF_THIS_MACHINE = r"~^https?://(?:localhost|127\.0\.0\.1|\[::1\])(?::[0-9]+)?\z"


def cors_values(gateway: Gateway) -> dict[str, Any]:
    """Return {name in the template: value}. `origin` is false if no page is allowed.

    `patterns` are those of the named origins, empty if any is allowed. `without_certificate`: a preflight is
    answered to a client without certificate, since browsers send none with it.
    """
    cors = gateway.cors
    patterns = [] if ANY in cors.origins else list(_patterns(cors.origins))
    return {
        "patterns": patterns,
        "origin": ANY if ANY in cors.origins else Verbatim("$cors_origin" if patterns else ""),
        "methods": ", ".join(cors.methods),
        "headers": Verbatim("$http_access_control_request_headers")
        if ANY in cors.headers
        else ", ".join(cors.headers),
        "exposed_headers": ", ".join(cors.exposed_headers),
        "max_age_seconds": cors.max_age_seconds,
        "credentials": cors.credentials,
        "without_certificate": bool(cors.origins and gateway.tls and gateway.tls.client_authorities),
    }


def _patterns(origins: Iterable[str]) -> Iterable[str]:
    """Yield a pattern of nginx's `map` for each of the origins."""
    for origin in origins:
        yield _OF_THIS_MACHINE if origin == LOCAL else rf"~^{re.escape(origin)}\z"
