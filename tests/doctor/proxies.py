"""Real proxies in front of a service, in common configurations, each on its own port."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.fakes.launch import wait_until
from tests.gateway.nginx import free_port

PATH = f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin"
HAPROXY = shutil.which("haproxy", path=PATH)
BUFFERING_PROXY = Path(__file__).with_name("buffering_proxy.py")

NGINX_CONF = """
daemon off;
pid {directory}/pid;
error_log {directory}/errors;
{user}
events {{ }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{
        listen 127.0.0.1:{port}{tls};
        location / {{
            proxy_pass http://127.0.0.1:{behind};
            {settings}
        }}
    }}
}}
"""

HAPROXY_CFG = """
defaults
    mode http
    timeout connect 5s
    {settings}
frontend clients
    bind 127.0.0.1:{port}
    default_backend service
backend service
    server service 127.0.0.1:{behind}
"""


@contextmanager
def nginx(directory: Path, behind: int, settings: str = "", *, tls: bool = False) -> Iterator[int]:
    """Yield an nginx with its defaults but for these directives; yields its port."""
    certificate = _certificate(directory) if tls else ""
    port, user = free_port(), "user root;" if os.geteuid() == 0 else ""
    values = {"directory": directory, "port": port, "behind": behind, "settings": settings, "user": user}
    text = NGINX_CONF.format(tls=certificate, **values)
    (directory / "front.conf").write_text(text, encoding="utf-8")
    command = ["nginx", "-p", str(directory), "-c", f"{directory}/front.conf", "-e", f"{directory}/errors"]
    with _running(command, port):
        yield port


def _certificate(directory: Path) -> str:
    """Return a fresh self-signed one, and the end of the `listen` directive that uses it."""
    key, certificate = directory / "key.pem", directory / "certificate.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ]
    files = ["-keyout", str(key), "-out", str(certificate), "-days", "1"]
    subprocess.run([*command, *subject, *files], check=True, capture_output=True)
    return f" ssl; ssl_certificate {certificate}; ssl_certificate_key {key}"


@contextmanager
def haproxy(directory: Path, behind: int, settings: str) -> Iterator[int]:
    """Yield an HAProxy with these lines in its defaults; yields its port."""
    assert HAPROXY
    port = free_port()
    text = HAPROXY_CFG.format(port=port, behind=behind, settings=settings)
    (directory / "haproxy.cfg").write_text(text, encoding="utf-8")
    with _running([HAPROXY, "-db", "-f", f"{directory}/haproxy.cfg"], port):
        yield port


@contextmanager
def buffering(behind: int) -> Iterator[int]:
    """Yield a proxy that sends nothing on before it has all; yields its port."""
    port = free_port()
    with _running([sys.executable, str(BUFFERING_PROXY), str(port), str(behind)], port):
        yield port


@contextmanager
def _running(command: list[str], port: int) -> Iterator[None]:
    process = subprocess.Popen(command, start_new_session=True, env={**os.environ, "PATH": PATH})
    try:
        wait_until(lambda: _listens(port) or process.poll() is not None, "a proxy")
        assert process.poll() is None, command
        yield
    finally:
        process.terminate()
        process.wait(20)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True
