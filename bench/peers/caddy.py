"""Caddy."""

from bench.peers.peer import Command, Peer, Site
from bench.peers.place import Program

PROGRAM = Program(name="caddy", inside="usr/bin/caddy", apt=("caddy",))
CONF = """
{{
    admin off
    auto_https off
    log default {{
        level ERROR
    }}
}}
http://:{port} {{
    bind 127.0.0.1
    reverse_proxy 127.0.0.1:{upstream}
}}
"""


def _command(site: Site) -> Command:
    program = PROGRAM.found()
    assert program
    conf = site.write("Caddyfile", CONF.format(port=site.port, upstream=site.upstream_port))
    env = {"HOME": str(site.directory), "GOMAXPROCS": "1"}
    return Command(argv=[program, "run", "--adapter", "caddyfile", "--config", conf], env=env)


CADDY = Peer(name="caddy", title="Caddy", command=_command, missing=PROGRAM.missing)
