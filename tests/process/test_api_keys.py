"""API keys that change while the service runs, and what of them is seen from outside."""

import http.client
import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from nim.plan import ApiKeys
from nim.planning.read_host_facts import find_lua_modules
from nim.preflight.read_api_keys_file import digest_of
from tests.fakes.launch import wait_until
from tests.process.conftest import Start
from tests.process.plans import make_plan, rendered
from tests.process.service import ROLES, Service

MODULES = find_lua_modules()
FIRST, SECOND, FROM_ENVIRONMENT = "nim-first-key", "nim-second-key", "nim-key-of-the-environment"
STREAMS, TOKENS, INTERVAL_MS = 64, 900, 20
"""18 seconds of streaming, which is longer than it takes to notice two changes."""

pytestmark = pytest.mark.skipif(not MODULES, reason="nginx's Lua module is not installed")


def write(path: Path, **keys: str) -> None:
    """Write a file of keys at once."""
    new = path.with_suffix(".new")
    new.write_text("# keys\n" + "".join(f"{name} sha256:{digest_of(key)}\n" for name, key in keys.items()))
    new.replace(path)


def status(service: Service, key: str, path: str = "/v1/models") -> int:
    """Return the status of a request with this key."""
    link = http.client.HTTPConnection("127.0.0.1", service.plan.gateway.server_port, timeout=5)
    link.request("GET", path, headers={"Authorization": f"Bearer {key}"})
    answer = link.getresponse()
    answer.read()
    link.close()
    return answer.status


@pytest.fixture
def service(start: Start, directory: Path, monkeypatch: pytest.MonkeyPatch) -> Service:
    """A ready service with a key in a file and one in the environment."""
    return serve(start, directory, monkeypatch)


def serve(start: Start, directory: Path, monkeypatch: pytest.MonkeyPatch, **engine_options: Any) -> Service:
    """A ready service with both keys, whose engine has these options."""
    monkeypatch.setenv("VLLM_API_KEY", FROM_ENVIRONMENT)
    file = directory / "keys"
    write(file, alice=FIRST)
    keys = ApiKeys(file=str(file), from_environment=True, nginx_modules=MODULES)
    plan = make_plan(directory, **engine_options)
    engine = replace(plan.engine, unset=("VLLM_API_KEY",))
    return start(rendered(plan, gateway=replace(plan.gateway, api_keys=keys), engine=engine)).wait_ready()


def test_a_changed_file_of_keys_is_reread(service: Service, directory: Path) -> None:
    assert [status(service, key) for key in (FIRST, SECOND, FROM_ENVIRONMENT)] == [200, 401, 200]
    write(directory / "keys", bob=SECOND)
    wait_until(lambda: status(service, SECOND) == 200, "the new key")
    wait_until(lambda: status(service, FIRST) == 401, "the end of the removed key")
    assert status(service, FROM_ENVIRONMENT) == 200
    (directory / "keys").write_text("bob nim-second-key\n")
    assert "line 1 is not a name and a digest" in service.wait_said("nginx keeps the files")
    assert status(service, SECOND) == 200
    assert (service.state().reloads, service.state().refused_reloads) == (1, 1)
    assert service.stop() == 0


@pytest.mark.slow
def test_keys_change_while_streams_run_and_none_is_cut(
    start: Start, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Streams that a removed key has begun go on to their end; it begins no more."""
    service = serve(start, directory, monkeypatch, tokens=TOKENS, interval_ms=INTERVAL_MS)
    with ThreadPoolExecutor(STREAMS) as pool:
        begun = Barrier(STREAMS + 1)
        streams = [pool.submit(count_events, service, FIRST, begun) for _ in range(STREAMS)]
        begun.wait(60)
        write(directory / "keys", alice=FIRST, bob=SECOND)
        wait_until(lambda: status(service, SECOND) == 200, "the new key")
        write(directory / "keys", bob=SECOND)
        wait_until(lambda: status(service, FIRST) == 401, "the end of the removed key")
        assert not any(stream.done() for stream in streams)
        # The last event has the reason to finish.
        assert {stream.result() for stream in streams} == {TOKENS + 1}
    assert service.stop() == 0


def count_events(service: Service, key: str, begun: Barrier) -> int:
    """Return the events of one whole stream; fails if it is cut."""
    link = http.client.HTTPConnection("127.0.0.1", service.plan.gateway.server_port, timeout=60)
    body = json.dumps({"prompt": "x", "stream": True, "max_tokens": TOKENS})
    headers = {"Content-Type": "application/json", "x-api-key": key}
    link.request("POST", "/v1/completions", body, headers)
    with link.getresponse() as answer:
        begun.wait(60)
        text = answer.read()
    link.close()
    assert text.endswith(b"data: [DONE]\n\n")
    return text.count(b"data: {")


def kill_nginx(service: Service) -> None:
    """Kill nginx's master and wait for the next one: until then its workers go on answering."""
    old = service.nginx
    service.kill(old)
    wait_until(lambda: set(service.find(ROLES["nginx master"])) - {old}, "the next nginx")
    wait_until(service.ready, "ready")


def make_directory(file: Path) -> None:
    """Put a directory in the place of a file, which root cannot read either."""
    file.unlink()
    file.mkdir()


@pytest.mark.slow
@pytest.mark.parametrize("damage", [Path.unlink, make_directory], ids=["gone", "directory"])
def test_a_file_that_cannot_be_read_any_more_changes_nothing(
    service: Service, directory: Path, damage: Callable[[Path], None]
) -> None:
    damage(directory / "keys")
    assert "cannot use NIM_API_KEYS_FILE" in service.wait_said("nginx keeps the files")
    assert [status(service, key) for key in (FIRST, SECOND)] == [200, 401]
    kill_nginx(service)
    assert [status(service, key) for key in (FIRST, SECOND)] == [200, 401]
    assert service.stop() == 0


@pytest.mark.slow
def test_a_killed_nginx_comes_back_with_the_keys(service: Service) -> None:
    kill_nginx(service)
    assert [status(service, key) for key in (FIRST, SECOND)] == [200, 401]
    assert service.stop() == 0


def test_metrics_and_log_name_keys_and_show_none(service: Service) -> None:
    for key in (FIRST, FIRST, FROM_ENVIRONMENT, SECOND):
        status(service, key)
    assert service.get("/v1/metrics")[0] == 401
    link = http.client.HTTPConnection("127.0.0.1", service.plan.gateway.server_port, timeout=5)
    link.request("GET", "/v1/metrics", headers={"x-api-key": FIRST})
    text = link.getresponse().read().decode()
    link.close()
    counts = dict(re.findall(r'nim_api_key_requests_total\{end="ok",key="([^"]+)"\} ([0-9.]+)', text))
    assert counts == {"alice": "2.0", "VLLM_API_KEY": "1.0", "-": "0.0"}
    assert 'nim_api_key_requests_total{end="limited",key="alice"} 0.0' in text, "a counter begins at 0"
    assert 'nim_api_key_requests_total{end="failed",key="-"} 2.0' in text
    assert service.stop() == 0
    assert "api_key=alice" in service.text
    written = [path.read_text(errors="replace") for path in service.run_dir.rglob("*") if path.is_file()]
    for key in (FIRST, SECOND, FROM_ENVIRONMENT):
        assert key not in text + service.text + "".join(written)


def test_a_file_without_a_usable_key_ends_the_start(start: Start, directory: Path) -> None:
    (directory / "keys").write_text("# nobody\n")
    keys = ApiKeys(file=str(directory / "keys"), from_environment=False, nginx_modules=MODULES)
    plan = make_plan(directory)
    service = start(rendered(plan, gateway=replace(plan.gateway, api_keys=keys)))
    assert service.wait() == 1
    assert "it has no keys" in service.text
    assert "exit code 7" in service.text
