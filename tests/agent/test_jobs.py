"""Jobs on a real cluster of Dask, with states in SQLite."""

import asyncio
import subprocess
import sys
import time
import uuid
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from distributed import Scheduler

from nim.agent.jobs import job_runner
from nim.agent.jobs.job_runner import JobRunner
from nim.agent.jobs.job_store import JobStore
from nim.plan import Jobs
from tests.agent.conftest import Agent, Start
from tests.agent.scripted_engine import Turn

THREADS = Jobs(max_concurrent=2, workers="threads")
STATE = {"job_id", "status", "error", "output", "created_at", "updated_at", "expires_at"}


def url(directory: Path) -> str:
    return f"sqlite+aiosqlite:///{directory}/jobs.db"


async def ended(agent: Agent, job_id: str) -> dict[str, Any]:
    """Return the state of a job once it has finished."""
    async with asyncio.timeout(60):
        while True:
            status, state = await agent.call("GET", f"/generate/async/job/{quote(job_id, safe='')}")
            assert status == 200
            if state["status"] not in ("submitted", "running"):
                return dict(state)
            await asyncio.sleep(0.05)


async def test_a_job_goes_on_without_its_client(start: Start, directory: Path) -> None:
    agent = await start(jobs=THREADS, db_url=url(directory))
    status, answer = await agent.post("/generate/async", {"input_message": "Hi"})
    assert (status, set(answer), answer["status"]) == (202, {"job_id", "status"}, "submitted")
    assert uuid.UUID(answer["job_id"]).version == 4
    state = await ended(agent, answer["job_id"])
    assert (state["status"], state["output"]) == ("success", {"value": "Hello to you"})


async def test_a_wait_that_is_long_enough_gets_the_result(start: Start, directory: Path) -> None:
    agent = await start("own_workflows.echo", jobs=THREADS, db_url=url(directory))
    body = {"input_message": "Hi", "job_id": "example-job-123", "sync_timeout": 60}
    status, state = await agent.post("/generate/async", body)
    assert (status, set(state)) == (200, STATE)
    assert (state["status"], state["error"], state["output"]) == ("success", None, {"value": "Hi"})
    expiry = datetime.fromisoformat(state["expires_at"].rstrip("Z"))
    assert (expiry - datetime.fromisoformat(state["updated_at"])).total_seconds() == 3600


async def test_a_short_wait_ends_and_the_server_answers_meanwhile(start: Start, directory: Path) -> None:
    agent = await start("own_workflows.slow", jobs=THREADS, db_url=url(directory))
    body = {"input_message": "4", "job_id": "slow", "sync_timeout": 1}
    waiting = asyncio.create_task(agent.post("/generate/async", body))
    began = time.monotonic()
    pages = await asyncio.gather(*(agent.call("GET", "/agent/openapi.json") for _ in range(20)))
    assert {status for status, _ in pages} == {200}
    assert not waiting.done(), f"20 answers took {time.monotonic() - began} s"
    assert await waiting == (202, {"job_id": "slow", "status": "submitted"})
    assert (await ended(agent, "slow"))["status"] == "success"


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("sync_timeout", [0, 1, 300], [-1, 301, "x"]),
        ("expiry_seconds", [600, 86400], [599, 86401]),
        ("job_id", ["a/b c", "é" * 255], ["", "x" * 256, "x" * 10_000]),
    ],
)
async def test_bounds(
    start: Start, directory: Path, field: str, good: list[object], bad: list[object]
) -> None:
    agent = await start("own_workflows.echo", jobs=THREADS, db_url=url(directory))
    for value in good:
        status, answer = await agent.post("/generate/async", {"input_message": "a", field: value})
        assert status in (200, 202), answer
        await ended(agent, answer["job_id"])
    for value in bad:
        status, answer = await agent.post("/generate/async", {"input_message": "a", field: value})
        assert status == 422
        assert answer["detail"][0]["loc"] == ["body", field]


async def test_of_many_with_one_id_one_runs(start: Start, directory: Path) -> None:
    agent = await start("own_workflows.slow", jobs=THREADS, db_url=url(directory))
    body = {"input_message": "0.2", "job_id": "one"}
    answers = await asyncio.gather(*(agent.post("/generate/async", body) for _ in range(20)))
    assert sorted(status for status, _ in answers) == [200] * 19 + [202]
    assert (await ended(agent, "one"))["status"] == "success"
    status, state = await agent.post("/generate/async", {"input_message": "0.1", "job_id": "one"})
    assert (status, state["status"], set(state)) == (200, "success", STATE)
    assert (directory / "runs").read_text() == "start 0.2\nend 0.2\n"


async def test_an_unknown_job_is_404(start: Start, directory: Path) -> None:
    agent = await start(jobs=THREADS, db_url=url(directory))
    for method in ("GET", "DELETE"):
        answer = await agent.call(method, "/generate/async/job/nope")
        assert answer == (404, {"detail": "Job nope not found"})


async def test_a_job_that_fails_says_why(start: Start, directory: Path) -> None:
    agent = await start("own_workflows.raises", jobs=THREADS, db_url=url(directory))
    status, state = await agent.post("/generate/async", {"input_message": "a", "sync_timeout": 60})
    assert (status, state["status"], state["output"]) == (200, "failure", None)
    assert state["error"] == "ValueError: told to fail"


async def test_no_more_run_at_once_than_may(start: Start, directory: Path) -> None:
    agent = await start("own_workflows.slow", jobs=THREADS, db_url=url(directory))
    ids = [f"job-{number}" for number in range(5)]
    for job_id in ids:
        await agent.post("/generate/async", {"input_message": "0.3", "job_id": job_id})
    assert {(await ended(agent, job_id))["status"] for job_id in ids} == {"success"}
    running = most = 0
    for line in (directory / "runs").read_text().splitlines():
        running += 1 if line.startswith("start") else -1
        most = max(most, running)
    assert most == 2


async def test_a_cancelled_job_ends_the_engines_request(start: Start, directory: Path) -> None:
    agent = await start("chat", Turn(text="a " * 10_000, interval=0.05), jobs=THREADS, db_url=url(directory))
    await agent.post("/generate/async", {"input_message": "Hi", "job_id": "long"})
    async with asyncio.timeout(30):
        while not agent.engine.requests:  # noqa: ASYNC110 - set by another task
            await asyncio.sleep(0.02)
        status, state = await agent.call("DELETE", "/generate/async/job/long")
        assert (status, state["status"], state["error"]) == (200, "interrupted", "cancelled")
        await agent.engine.aborted.wait()
    assert (await ended(agent, "long"))["status"] == "interrupted"


async def test_a_job_that_waits_can_be_cancelled(start: Start, directory: Path) -> None:
    one = Jobs(max_concurrent=1, workers="threads")
    agent = await start("own_workflows.slow", jobs=one, db_url=url(directory))
    await agent.post("/generate/async", {"input_message": "1", "job_id": "first"})
    await agent.post("/generate/async", {"input_message": "0.1", "job_id": "second"})
    assert (await agent.call("DELETE", "/generate/async/job/second"))[1]["status"] == "interrupted"
    assert (await ended(agent, "first"))["status"] == "success"
    assert (await ended(agent, "second"))["status"] == "interrupted"
    assert (directory / "runs").read_text() == "start 1\nend 1\n"


async def test_jobs_run_in_processes(start: Start, directory: Path) -> None:
    agent = await start(jobs=Jobs(max_concurrent=1, workers="processes"), db_url=url(directory))
    body = {"input_message": "Hi", "sync_timeout": 120}
    status, state = await agent.post("/generate/async", body)
    assert (status, state["status"]) == (200, "success")
    assert state["output"] == {"value": "Hello to you"}


async def test_a_restart_keeps_results_and_interrupts_what_ran(start: Start, directory: Path) -> None:
    store = JobStore(url(directory))
    await store.open()
    for job_id in ("done", "ran", "waited"):
        assert await store.add(job_id, 600)
    assert await store.change("done", ("submitted",), "running")
    assert await store.change("done", ("running",), "success", output='{"value": 1}')
    assert await store.change("ran", ("submitted",), "running")
    await store.close()
    agent = await start("own_workflows.echo", jobs=THREADS, db_url=url(directory))
    done = await ended(agent, "done")
    assert (done["status"], done["output"]) == ("success", {"value": 1})
    for job_id in ("ran", "waited"):
        state = await ended(agent, job_id)
        assert (state["status"], state["error"]) == ("interrupted", "the server ended before the job did")


async def test_an_end_that_comes_late_changes_no_finished_job(directory: Path) -> None:
    store = JobStore(url(directory))
    await store.open()
    assert await store.add("one", 600)
    assert not await store.add("one", 600)
    assert await store.change("one", ("submitted", "running"), "interrupted", error="cancelled")
    assert not await store.change("one", ("submitted", "running"), "success", output="1")
    assert not await store.change("one", ("submitted",), "running")
    row = await store.find("one")
    assert row
    assert (row["status"], row["error"], row["output"]) == ("interrupted", "cancelled", None)
    await store.close()


async def test_without_jobs_the_routes_are_absent(start: Start) -> None:
    agent = await start()
    status, answer = await agent.post("/generate/async", {"input_message": "Hi"})
    assert (status, answer) == (404, {"detail": "Not Found"})


def test_dask_is_not_imported_before_the_first_job(directory: Path) -> None:
    program = (
        "import sys; from nim.agent.api.app import build_app; from nim.plan import *\n"
        f"plan = AgentPlan(directory='{directory}', model='m', workflow=Component(kind='chat'),"
        " jobs=Jobs())\n"
        f"build_app(plan, 'unix:/nowhere', '{url(directory)}')\n"
        "sys.exit('distributed' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


async def test_an_output_that_is_no_json_is_a_failure(start: Start, directory: Path) -> None:
    agent = await start("own_workflows.tuple_keys", jobs=THREADS, db_url=url(directory))
    _, state = await agent.post("/generate/async", {"input_message": "a", "sync_timeout": 60})
    assert state["status"] == "failure"
    assert state["error"].startswith("TypeError: keys must be str")


async def test_a_plain_function_that_hangs_does_not_hold_up_its_job(start: Start, directory: Path) -> None:
    agent = await start(
        "own_workflows.waits_for_go", jobs=THREADS, db_url=url(directory), time_limit_seconds=1
    )
    try:
        await agent.post("/generate/async", {"input_message": "long", "job_id": "one"})
        assert "time_limit_seconds" in (await ended(agent, "one"))["error"]
    finally:
        (directory / "go").touch()


async def test_a_job_cancelled_while_the_cluster_starts_does_not_run(
    start: Start, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, go_on, connect = asyncio.Event(), asyncio.Event(), JobRunner._connect

    async def connect_late(runner: JobRunner) -> Any:
        asked.set()
        await go_on.wait()
        return await connect(runner)

    monkeypatch.setattr(JobRunner, "_connect", connect_late)
    agent = await start("own_workflows.slow", jobs=THREADS, db_url=url(directory))
    body = {"input_message": "0.1", "job_id": "one"}
    await agent.post("/generate/async", body)
    await asyncio.wait_for(asked.wait(), 60)
    assert (await agent.call("DELETE", "/generate/async/job/one"))[1]["status"] == "interrupted"
    go_on.set()
    await agent.post("/generate/async", {**body, "sync_timeout": 60})
    assert not (directory / "runs").exists()
    assert (await ended(agent, "one"))["error"] == "cancelled"


@pytest.mark.parametrize("bound", ["MOST_WAITING", "MOST_WAITING_BYTES"])
async def test_too_many_jobs_are_503(
    start: Start, directory: Path, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    monkeypatch.setattr(job_runner, bound, 0 if bound == "MOST_WAITING" else 40)
    jobs = Jobs(max_concurrent=1, workers="threads")
    agent = await start("own_workflows.waits_for_go", jobs=jobs, db_url=url(directory))
    first = {"input_message": "long", "job_id": "first"}
    assert (await agent.post("/generate/async", first))[0] == 202
    second = {"input_message": "a", "job_id": "second"}
    async with agent.session.post("http://agent/generate/async", json=second) as answer:
        assert (answer.status, int(answer.headers["Retry-After"]) > 0) == (503, True)
    assert (await agent.call("GET", "/generate/async/job/second"))[0] == 404
    assert (await agent.post("/generate/async", first))[0] == 200
    (directory / "go").touch()
    await agent.post("/generate/async", {**first, "sync_timeout": 60})
    assert (await agent.post("/generate/async", second))[0] == 202
    assert (await ended(agent, "second"))["status"] == "success"


async def test_a_scheduler_without_workers_is_a_failure(
    start: Start, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_runner, "SLACK_SECONDS", 0.5)
    async with Scheduler(host="127.0.0.1", port=0, dashboard=False) as scheduler:
        jobs = Jobs(max_concurrent=1, scheduler_address=scheduler.address)
        agent = await start("own_workflows.echo", jobs=jobs, db_url=url(directory), time_limit_seconds=0.5)
        await agent.post("/generate/async", {"input_message": "a", "job_id": "one"})
        state = await ended(agent, "one")
        assert (state["status"], state["error"]) == ("failure", "TimeoutError: the scheduler has no workers")
