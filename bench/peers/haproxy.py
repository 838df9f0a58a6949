"""HAProxy, as a proxy of HTTP and as a forwarder of TCP."""

from collections.abc import Sequence
from functools import partial

from bench.peers.peer import Command, Peer, Site
from bench.peers.place import Program

PROGRAM = Program(
    name="haproxy",
    inside="usr/sbin/haproxy",
    apt=("haproxy", "liblua5.3-0", "libopentracing-c-wrapper0", "libopentracing1"),
)
# Without abortonclose it does not notice a client that leaves a silent stream, without http-no-delay it holds
# events back for up to 200 ms.
CONF = """
global
    nbthread 1
    maxconn 9000
defaults
    mode {mode}
    {http}
    retries 0
    timeout connect 10s
    timeout client 4h
    timeout server 4h
frontend clients
    bind 127.0.0.1:{port} {bind}
    {frontend}
    default_backend engine
backend engine
    {reuse}
    server engine {address}
"""


def command(site: Site, *, mode: str, unix: bool, bind: str = "", frontend: Sequence[str] = ()) -> Command:
    """Return HAProxy's command; `bind` and `frontend` add to the line and the section of these names."""
    program = PROGRAM.found()
    assert program
    conf = CONF.format(
        mode=mode,
        port=site.port,
        bind=bind,
        frontend="\n    ".join(frontend),
        http="option abortonclose\n    option http-no-delay" if mode == "http" else "",
        reuse="http-reuse always" if mode == "http" else "",
        address=f"unix@{site.upstream_socket}" if unix else f"127.0.0.1:{site.upstream_port}",
    )
    libraries = PROGRAM.path("usr/lib/x86_64-linux-gnu")
    env = {"LD_LIBRARY_PATH": str(libraries)} if libraries.exists() else {}
    return Command(argv=[program, "-db", "-f", site.write("haproxy.cfg", conf)], env=env)


def _peer(name: str, title: str, mode: str, *, unix: bool) -> Peer:
    return Peer(
        name=name,
        title=title,
        command=partial(command, mode=mode, unix=unix),
        missing=PROGRAM.missing,
        transport="unix" if unix else "tcp",
        floor=mode == "tcp",
    )


HAPROXY = _peer("haproxy", "HAProxy http, TCP", "http", unix=False)
HAPROXY_UNIX = _peer("haproxy-unix", "HAProxy http, unix socket", "http", unix=True)
HAPROXY_TCP = _peer("haproxy-tcp", "HAProxy tcp (forwarder), TCP", "tcp", unix=False)
