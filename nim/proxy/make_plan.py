"""Make the plan of a proxy: nginx in front, the router in the engine's place."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nim import __version__
from nim.errors import SettingsError
from nim.frozen_dataclass import frozen_dataclass
from nim.options.derived_options import HostFacts
from nim.options.resolve_nginx_settings import KEEPALIVE_VARIABLE, decide_gateway
from nim.plan import (
    ARGS_FILE,
    BACKENDS_FILE,
    ENGINE_SOCKET,
    ChosenProfile,
    Engine,
    Gateway,
    Model,
    Plan,
    RenderedFile,
)
from nim.planning.read_host_facts import read_host_facts
from nim.proxy.backend_services import Backend
from nim.proxy.read_backends import VARIABLE, Document, check_keys, parse_backends, read_backends_file
from nim.proxy.upstreams import literal_places, nginx_backends
from nim.render.nginx import nginx_files
from nim.settings import Settings
from nim.value_origins import Layer, Origin, Value

# Services elsewhere may close an idle connection after five seconds, as uvicorn does.
IDLE_SECONDS = 4
# Of Debian, of Red Hat, of Alpine.
BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
)


@frozen_dataclass
class Wanted:
    """Where the backends are described: the path of a file, or a text from the environment."""

    file: str | None
    text: str
    document: Document

    @property
    def backends(self) -> tuple[Backend, ...]:
        """Return the backends that are named."""
        return self.document.backends


def read_wanted(file: str | None, settings: Settings, environ: Mapping[str, str]) -> Wanted:
    """Return the backends of a file, else of NIM_PROXY_BACKENDS; NimError for what is wrong in them."""
    if file is None and settings.proxy_backends is None:
        raise SettingsError(
            "cannot start a proxy without backends", hint=f"nim proxy FILE, or {VARIABLE}='[…]'"
        )
    path = Path(file).absolute() if file is not None else None
    text = read_backends_file(path) if path else settings.proxy_backends or ""
    document = parse_backends(text, str(file) if file is not None else VARIABLE)
    check_keys(document.backends, environ)
    return Wanted(file=str(path) if path else None, text=text, document=document)


def make_proxy_plan(wanted: Wanted, settings: Settings, environ: Mapping[str, str]) -> Plan:
    """Return the Plan of a proxy; NimError for settings that cannot be used. Changes nothing."""
    host = read_host_facts(settings, environ)
    gateway, warnings = _gateway(settings, host)
    socket = f"{host.run_dir}/{ENGINE_SOCKET}"
    argv = (sys.executable, "-I", "-m", "nim.proxy", host.run_dir)
    engine = Engine(name="router", version=None, argv=argv, env={}, unset=(), socket=socket, port=None)
    idle = settings.proxy_upstream_keepalive_timeout or IDLE_SECONDS
    word = {
        "file": wanted.file,
        "text": None if wanted.file else wanted.text,
        "open_files": host.open_files,
        "idle_seconds": idle,
        "authorities": _authorities(environ),
    }
    return Plan(
        release=__version__,
        run_dir=host.run_dir,
        cache_dir=host.run_dir,
        log_level=settings.log_level,
        json_logs=settings.jsonl_logging,
        shutdown_timeout_seconds=settings.shutdown_timeout,
        model=_model(host.run_dir),
        profile=ChosenProfile(id="proxy", label="proxy", tags={"gpu": "cpu"}, because="a proxy has no model"),
        engine=engine,
        gateway=gateway,
        config={},
        proxy=True,
        warnings=(*settings.warnings, *warnings),
        files=(
            *_nginx_files(wanted.document, gateway, settings, host, word),
            RenderedFile(path=ARGS_FILE, text="".join(f"{json.dumps(token)}\n" for token in argv)),
            RenderedFile(path=BACKENDS_FILE, text=json.dumps(word)),
        ),
    )


def _authorities(environ: Mapping[str, str]) -> str:
    """Return the file of the certificate authorities that OpenSSL's programs trust here."""
    return environ.get("SSL_CERT_FILE") or next((path for path in BUNDLES if Path(path).exists()), BUNDLES[0])


def _gateway(settings: Settings, host: HostFacts) -> tuple[Gateway, tuple[str, ...]]:
    """Return (Gateway, warnings): nginx's settings. The router never closes an idle connection."""
    given = settings.proxy_upstream_keepalive_timeout or 0
    origin = Origin(layer=Layer.DEFAULT, place="nim")
    return decide_gateway(
        settings, host, {KEEPALIVE_VARIABLE: Value(value=max(120, 2 * given), origin=origin)}
    )


def _nginx_files(
    document: Document,
    gateway: Gateway,
    settings: Settings,
    host: HostFacts,
    word: Mapping[str, Any],
) -> tuple[RenderedFile, ...]:
    """Return nginx's files of the first generation: the replicas whose addresses are written in the file."""
    files = nginx_files(
        gateway,
        run_dir=host.run_dir,
        engine_address=f"unix:{host.run_dir}/{ENGINE_SOCKET}",
        log_level=settings.log_level,
        json_logs=settings.jsonl_logging,
        open_files=host.open_files,
        backends=nginx_backends(
            document.backends,
            literal_places(document.backends),
            1,
            idle_seconds=word["idle_seconds"],
            authorities=word["authorities"],
            more=document.kubernetes is not None,
        ),
    )
    return tuple(RenderedFile(path=name, text=text) for name, text in files.items())


def _model(run_dir: str) -> Model:
    """Return a Model that stands for all that are behind the proxy."""
    return Model(
        name="nim-proxy",
        served_names=(),
        source="",
        path=run_dir,
        license_file=None,
        license_name=None,
        max_model_len=None,
    )
