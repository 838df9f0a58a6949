"""`nim routes`: which routes are open and why, compared with a running engine."""

import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.in_process import call_nim
from tests.process.plans import make_plan

ROOT = Path(__file__).resolve().parents[2]
PATHS = {
    "/v1/models": {"get": {}},
    "/redoc": {"get": {}},
    "/load": {"get": {}},
    "/of/a/later/version": {"post": {}, "get": {}, "parameters": []},
}

Nim = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def nim(tmp_path: Path) -> Nim:
    """Return a function that runs `nim routes` with these arguments and variables."""

    def run(*arguments: str, **env: str) -> "subprocess.CompletedProcess[str]":
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("NIM_", "VLLM_"))}
        return call_nim(("routes", *arguments), {**clean, "NIM_RUN_DIR": str(tmp_path / "run"), **env})

    return run


def rows(done: "subprocess.CompletedProcess[str]") -> dict[str, dict[str, Any]]:
    """Return the routes of a `--json` answer by path, the last of each."""
    assert done.returncode == 0, done.stderr
    return {row["path"]: row for row in json.loads(done.stdout)["routes"]}


class Handler(BaseHTTPRequestHandler):
    """An engine's document at /openapi.json, a gateway's below /gateway; at /other/openapi.json none."""

    def do_GET(self) -> None:
        documents: dict[str, Any] = {
            "/openapi.json": {"paths": PATHS},
            "/gateway/openapi.json": {"paths": {"/v1/models": {}, "/v1/metadata": {}}},
        }
        body = json.dumps(documents.get(self.path, [1])).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass

    def address_string(self) -> str:
        return "a client"


@pytest.fixture
def engine() -> Iterator[str]:
    """Yield the address of something that has an OpenAPI document."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_each_route_says_whether_it_is_open_and_why(nim: Nim) -> None:
    found = rows(nim("--json"))
    said = {path: (found[path]["open"], found[path]["because"], found[path]["opened_by"]) for path in found}
    assert said["/v1/health/live"] == (True, "always open", None)
    assert said["/v1/models"] == (True, "open by default", None)
    assert said["/load"] == (False, "closed by default", "NIM_ROUTES=+debug")
    assert said["/v1/load_lora_adapter"] == (
        False,
        "NIM_PEFT_SOURCE is not set",
        "NIM_PEFT_SOURCE=… NIM_ROUTES=+adapters",
    )
    assert said["/metrics"] == (False, "closed by default", "NIM_ROUTES=+router")
    assert said["/redoc"] == (False, "needs the internet; /docs does not", None)
    assert all(row["in_engine"] is None for row in found.values())


def test_it_follows_the_variables(nim: Nim) -> None:
    found = rows(nim("--json", NIM_ROUTES="+debug,-docs,+adapters", NIM_PEFT_SOURCE="/adapters"))
    assert found["/load"]["because"] == "opened by NIM_ROUTES"
    assert found["/docs"]["because"] == "closed by NIM_ROUTES"
    assert found["/v1/load_lora_adapter"]["because"] == "opened by NIM_ROUTES"
    closed = rows(nim("--json", NIM_ROUTES="inference", NIM_PEFT_SOURCE="/adapters"))
    assert closed["/v1/load_lora_adapter"]["opened_by"] == "NIM_ROUTES=inference,adapters"
    assert closed["/docs"]["opened_by"] == "NIM_ROUTES=inference,docs"
    assert found["/docs"]["opened_by"] == "NIM_ROUTES=+docs,+adapters,+debug"
    refused = nim(NIM_ROUTES="+adapters")
    assert (refused.returncode, "NIM_PEFT_SOURCE, which is not set" in refused.stderr) == (2, True)


def test_a_closed_route_names_the_open_one_that_is_meant(nim: Nim) -> None:
    instead = {path: row["instead"] for path, row in rows(nim("--json")).items()}
    assert instead["/health"] == "/v1/health/ready"
    assert instead["/metrics"] == "/v1/metrics"
    assert instead["/version"] == "/v1/version"
    assert instead["/v1/models"] is instead["/sleep"] is None
    assert rows(nim("--json", NIM_ROUTES="inference"))["/metrics"]["instead"] is None


def test_a_line_for_each_route(nim: Nim) -> None:
    done = nim()
    assert done.returncode == 0, done.stderr
    [line] = [line for line in done.stdout.splitlines() if " /sleep " in line]
    assert line.startswith("closed")
    assert "NIM_ROUTES=+debug opens it; the engine needs VLLM_SERVER_DEV_MODE=1" in line
    assert nim("--markdown").stdout == (ROOT / "docs/reference/routes.md").read_text()


def test_an_engine_is_compared(nim: Nim, engine: str) -> None:
    done = nim("--json", "--url", engine)
    found = rows(done)
    assert [found[path]["in_engine"] for path in ("/v1/models", "/redoc", "/tokenize")] == [
        True,
        True,
        False,
    ]
    assert found["/v1/realtime"]["in_engine"] is None, "documents name no websockets"
    assert found["/v1/metadata"]["in_engine"] is None, "which the engine does not answer"
    assert json.loads(done.stdout)["in_no_group"] == [
        {"path": "/of/a/later/version", "methods": ["GET", "POST"]}
    ]
    text = nim("--url", f"{engine}/openapi.json").stdout
    kept, strays = text.split("are kept back:\n")[1].split("In no group, so closed:\n")
    assert kept.split("\n")[:2] == [
        "  /load: closed by default",
        "  /redoc: needs the internet; /docs does not",
    ]
    assert strays == "  GET, POST /of/a/later/version\n"


def test_a_failed_comparison_is_reported(nim: Nim, engine: str) -> None:
    for url, code, expected in (
        ("127.0.0.1:8001", 2, "hint: http://127.0.0.1:8001"),
        ("http://127.0.0.1:1", 7, "Connection refused"),
        (f"{engine}/other", 7, "no OpenAPI document"),
        (f"{engine}/gateway", 7, "hint: nim routes --running"),
    ):
        refused = nim("--url", url)
        assert refused.returncode == code
        assert expected in refused.stderr
        assert "Traceback" not in refused.stderr


def test_a_missing_service_is_reported(nim: Nim, tmp_path: Path) -> None:
    refused = nim("--running")
    assert (refused.returncode, "no plan of one" in refused.stderr) == (7, True)
    plan = make_plan(tmp_path)
    Path(plan.run_dir).mkdir(mode=0o700)
    Path(plan.run_dir, "plan.json").write_text(plan.to_json())
    refused = nim("--running")
    assert refused.returncode == 7
    assert "engine.sock: [Errno 2]" in refused.stderr
    assert "/v1/health/ready" in refused.stderr


@pytest.mark.parametrize("how", ["open to others", "a link", "somebody else's"])
def test_a_directory_that_others_could_have_made_is_not_believed(nim: Nim, tmp_path: Path, how: str) -> None:
    """Its plan would name the address that is asked."""
    plan = make_plan(tmp_path)
    run_dir = Path(plan.run_dir)
    run_dir.mkdir(mode=0o700)
    (run_dir / "plan.json").write_text(plan.to_json())
    if how == "open to others":
        run_dir.chmod(0o777)
        expected = "others may enter it (mode 777)"
    elif how == "a link":
        run_dir.rename(tmp_path / "elsewhere")
        run_dir.symlink_to(tmp_path / "elsewhere")
        expected = "no plan of one in"
    else:
        if os.geteuid():
            pytest.skip("only root can give a directory away")
        os.chown(run_dir, 65534, 65534)
        expected = "it belongs to user 65534"
    refused = nim("--running")
    assert refused.returncode == 7
    assert expected in refused.stderr
    assert "engine.sock" not in refused.stderr
