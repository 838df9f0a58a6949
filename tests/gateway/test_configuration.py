"""The real nginx accepts every rendered configuration without warnings."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from nim.options.parse_cors_words import METHODS
from nim.plan import Cors
from nim.settings.value_types import MOST_SECONDS
from tests.gateway.client import ask
from tests.gateway.nginx import ALL_GROUPS, Nginx, free_port, gateway_of
from tests.gateway.upstream import Upstream

NOBODY = 65534

GATEWAYS: list[dict[str, Any]] = [
    {},
    {"worker_processes": 4},
    {"listen_ipv6": True, "worker_processes": 2},
    {
        "max_body_size": "100m",
        "read_timeout_seconds": 1,
        "send_timeout_seconds": 1,
        "keepalive_timeout_seconds": 1,
        "header_timeout_seconds": 1,
        "client_timeout_seconds": 1,
        "upstream_keepalive_timeout_seconds": 1,
        "connections": 128,
    },
    dict.fromkeys(
        [
            "read_timeout_seconds",
            "send_timeout_seconds",
            "keepalive_timeout_seconds",
            "header_timeout_seconds",
            "client_timeout_seconds",
            "upstream_keepalive_timeout_seconds",
        ],
        MOST_SECONDS,
    ),
    {"cors": Cors(origins=("*",), methods=METHODS, headers=("*",), exposed_headers=("*",))},
    {"cors": Cors(origins=("local",), methods=("GET",), headers=("X-A",), exposed_headers=("X-B", "X-C"))},
    {
        "cors": Cors(
            origins=("https://a.test", f"http://{'a.' * 1000}test", "http://[::1]:1"), credentials=True
        )
    },
    {"connections": 50_000, "max_body_size": "999999999g"},
    *({"route_groups": groups} for groups in [(), ("inference",), ("docs",), ("management",), ALL_GROUPS]),
]
OPTIONS: list[dict[str, Any]] = [
    *({"log_level": level} for level in ("TRACE", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")),
    {"json_logs": False},
    {"open_files": 1024},
    {"open_files": 100_000},
]
ADDRESSES = [None, "127.0.0.1:8001", "unix:/tmp/a b;{}'\"\\#/engine.sock"]


def has_ipv6() -> bool:
    return Path("/proc/net/if_inet6").exists()


@pytest.mark.slow
def test_nginx_takes_every_combination_without_a_word(tmp_path: Path) -> None:
    matrix = [*product(GATEWAYS, (False, True), ADDRESSES, [{}]), *product([{}], [False], [None], OPTIONS)]
    for changes, health, address, options in matrix:
        if changes.get("listen_ipv6") and not has_ipv6():
            continue
        gateway = gateway_of(health_port=free_port() if health else None, **changes)
        nginx = Nginx(run_dir=tmp_path, gateway=gateway, engine_address=address, options=options)
        nginx.write()
        assert nginx.test() == "", (changes, health, address, options)


@pytest.mark.parametrize("name", ["a b", "a;b", "a{b}", "a#b", "a'b", 'a"b', "a\\b", "ä", "a\\nb"])
async def test_no_name_of_the_run_directory_breaks_the_file(tmp_path: Path, name: str) -> None:
    run_dir = tmp_path / name
    run_dir.mkdir()
    nginx = Nginx(run_dir=run_dir, gateway=gateway_of())
    engine = Upstream()
    await engine.listen(nginx.engine_socket)
    try:
        await nginx.start()
        assert (await ask(nginx.port, "/v1/health/ready")).status == 200
        (run_dir / "draining").touch()
        assert (await ask(nginx.port, "/v1/health/ready")).status == 503
    finally:
        nginx.stop()
        await engine.close()
    assert (run_dir / "log/access").exists()


@pytest.fixture
def directory_of_nobody() -> Iterator[Path]:
    """Yield a private directory of a user who owns nothing else, or of this one without root."""
    path = Path(tempfile.mkdtemp(prefix="nim", dir="/tmp"))
    if os.getuid() == 0:
        os.chown(path, NOBODY, NOBODY)
    yield path
    shutil.rmtree(path)


async def test_any_user_with_a_run_directory_will_do(directory_of_nobody: Path) -> None:
    run_dir = directory_of_nobody
    nginx = Nginx(run_dir=run_dir, gateway=gateway_of(user=None))
    who: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": ()} if os.getuid() == 0 else {}
    engine = Upstream()
    await engine.listen(nginx.engine_socket)
    nginx.write()
    for path in (run_dir / "log", nginx.engine_socket):
        if who:
            os.chown(path, NOBODY, NOBODY)
    try:
        assert nginx.test(**who) == ""
        await nginx.start(**who)
        body = b"x" * (8 << 20)
        assert (await ask(nginx.port, "/v1/completions", method="POST", body=body)).status == 200
        assert engine.received[0].body == body
        assert "buffered to a temporary file" in nginx.errors()
        assert engine.received[0].header("x-request-id") is None, "a body in a file may have an id of its own"
    finally:
        nginx.stop()
        await engine.close()
    assert "[alert]" not in nginx.errors()
    assert "[emerg]" not in nginx.errors()


async def test_the_engine_on_a_port(tmp_path: Path) -> None:
    port = free_port()
    nginx = Nginx(run_dir=tmp_path, gateway=gateway_of(), engine_address=f"127.0.0.1:{port}")
    engine = Upstream()
    try:
        await nginx.start()
        refused = await ask(nginx.port, "/tokenizer_info")
        assert (refused.status, refused.json()["error"]["code"]) == (503, "engine_unavailable")
        assert (await ask(nginx.port, "/v1/health/ready")).status == 503
        await engine.listen(port)
        for _ in range(10):
            assert (await ask(nginx.port, "/tokenizer_info")).status == 200
        assert (await ask(nginx.port, "/v1/health/ready")).status == 200
        assert engine.connections == 1
    finally:
        nginx.stop()
        await engine.close()


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
async def test_ipv6_beside_ipv4(tmp_path: Path) -> None:
    nginx = Nginx(run_dir=tmp_path, gateway=gateway_of(listen_ipv6=True, health_port=free_port()))
    try:
        await nginx.start()
        for port in (nginx.port, nginx.gateway.health_port):
            assert port
            assert (await ask(port, "/v1/health/live", host="::1")).status == 200
    finally:
        nginx.stop()
