"""A start that fetches its model first: what its clients see, and how it ends if that fails."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nim.models.remote.cache_directories import directory_of
from nim.plan import Download, Plan, RemoteModel
from tests.fakes.launch import wait_until
from tests.process.conftest import Start
from tests.process.plans import make_plan, rendered
from tests.process.service import Service
from tests.sources.conftest import make_model
from tests.sources.file_server import FileServer, serving_files

SIZE = 20_000_000
ENDED = (0, 143)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FileServer]:
    make_model(tmp_path / "files" / "model", SIZE)
    with serving_files(tmp_path / "files", bytes_per_second=SIZE / 6) as running:
        yield running


def plan_of(directory: Path, uri: str) -> Plan:
    """Return a plan whose model is to be fetched into its cache."""
    plan = make_plan(directory)
    place = directory_of(plan.cache_dir, uri)
    remote = RemoteModel(uri=uri, directory=str(place))
    download = Download(directory=str(place), total_bytes=None, remote=remote)
    return rendered(plan, model=replace(plan.model, path=None, source=uri), download=download)


def startup(service: Service) -> Any:
    """Return what /v1/health/startup says; None before anybody answers."""
    status, body = service.get("/v1/health/startup")
    return json.loads(body) if status in (200, 503) and body.startswith(b'{"object') else None


def fetching(service: Service) -> Any:
    """Return the first answer with a part of the download."""
    return wait_until(
        lambda: (
            (said := startup(service))
            and said["phase"] == "fetch"
            and said["progress"]
            and said["download"]
            and said["download"]["bytes_per_second"]
            and said
        ),
        "a part of the download",
    )


def test_bytes_progress_and_time_left_are_seen(start: Start, directory: Path, server: FileServer) -> None:
    plan = plan_of(directory, f"{server.url}/model")
    service = start(plan).wait_live()
    said = fetching(service)
    assert 0 < said["progress"] < 1
    assert said["download"]["have_bytes"] < said["download"]["total_bytes"]
    assert said["message"].startswith("the engine is fetching the model: fetched ")
    metrics = service.get("/v1/metrics")[1].decode()
    assert "nim_download_bytes " in metrics
    assert f"nim_download_size_bytes {said['download']['total_bytes']:.1f}" in metrics or "e+" in metrics
    wait_until(service.ready, "ready")
    assert "fetching http://" in service.text
    said = wait_until(lambda: (said := startup(service)) and said["status"] == "ready" and said, "ready")
    assert [done["phase"] for done in said["phases"]][:3] == ["select", "fetch", "select"]
    assert service.stop() in ENDED
    asked = len(server.asked)
    again = start(plan).wait_live()
    wait_until(again.ready, "ready again")
    assert again.stop() in ENDED
    assert len(server.asked) == asked


def test_a_source_that_refuses_ends_the_service_with_code_6(
    start: Start, directory: Path, server: FileServer
) -> None:
    server.faults.status_for_all = 403
    service = start(plan_of(directory, f"{server.url}/model"))
    wait_until(lambda: service.process.poll() is not None, "the end")
    assert service.process.returncode == 6
    assert "asked with no token" in service.text
    failure = service.verdict()["failure"]
    assert failure["kind"] == "fetch"
    assert failure["hint"] == "NIM_SOURCE_TOKEN=…"


@pytest.mark.slow
def test_a_stop_during_the_download_keeps_what_has_arrived(
    start: Start, directory: Path, server: FileServer
) -> None:
    plan = plan_of(directory, f"{server.url}/model")
    service = start(plan).wait_live()
    fetching(service)
    assert service.stop() in ENDED
    server.faults.bytes_per_second = None
    again = start(plan).wait_live()
    wait_until(again.ready, "ready")
    assert again.stop() in ENDED
    assert server.sent_bytes < SIZE * 1.2
    current = Path(plan.download.directory if plan.download else "") / "current"
    assert sorted(path.name for path in current.iterdir()) == [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
    ]
