"""A whole service with an agent: nginx, supervision, the agent's process, and an engine."""

import http.client
import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

from nim.plan import AgentPlan, Component, FrontEnd, Jobs, Plan, agent_routes
from tests.fakes.launch import wait_until
from tests.process.conftest import Start
from tests.process.plans import make_plan, rendered
from tests.process.service import Service

AGENT = r"-m nim\.agent"
HELLO = {"input_message": "Hello"}


def with_agent(directory: Path, kind: str = "chat", jobs: Jobs | None = None, **mood: Any) -> Plan:
    """Return the plan of a service with an agent."""
    plan = make_plan(directory, **mood)
    agent = AgentPlan(
        directory=str(directory), model=str(directory), workflow=Component(kind=kind), jobs=jobs
    )
    routes = agent_routes(FrontEnd(), jobs=jobs is not None)
    gateway = replace(plan.gateway, agent_routes=routes)
    return rendered(plan, agent=agent, gateway=gateway, shutdown_timeout_seconds=20.0)


def ask(service: Service, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """Return status and JSON body."""
    link = http.client.HTTPConnection("127.0.0.1", service.plan.gateway.server_port, timeout=60)
    try:
        headers = {"Content-Type": "application/json", "X-Request-Id": "mine"}
        link.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = link.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        link.close()


def answering(service: Service) -> None:
    wait_until(service.ready, "the service")
    wait_until(lambda: ask(service, "GET", "/agent/openapi.json")[0] == 200, "the agent")


def test_without_an_agent_there_is_no_process_and_no_route(start: Start) -> None:
    service = start()
    wait_until(service.ready, "the service")
    assert service.find(AGENT) == []
    assert not (service.run_dir / "agent.sock").exists()
    status, answer = ask(service, "POST", "/generate", HELLO)
    assert (status, answer["error"]["code"]) == (404, "not_found")
    service.process.send_signal(signal.SIGTERM)
    assert service.process.wait(30) == 0


def test_the_agents_end_is_none_of_the_engines_requests(start: Start, directory: Path) -> None:
    service = start(with_agent(directory, tokens=3), fast_restarts=True)
    answering(service)
    status, answer = ask(service, "POST", "/generate", HELLO)
    assert (status, list(answer)) == (200, ["value"])
    engine = service.find_one(r"fakes/engine\.py")
    agent = service.find_one(AGENT)
    os.kill(agent, signal.SIGKILL)
    chat = {"model": str(directory), "messages": [{"role": "user", "content": "a"}]}
    assert ask(service, "POST", "/v1/chat/completions", chat)[0] == 200
    assert service.ready()
    wait_until(lambda: service.find(AGENT) not in ([], [agent]), "another agent")
    wait_until(lambda: ask(service, "POST", "/generate", HELLO)[0] == 200, "its answers")
    assert service.find_one(r"fakes/engine\.py") == engine
    assert "agent lost" in service.text
    service.process.send_signal(signal.SIGTERM)
    assert service.process.wait(30) == 0
    assert not (service.run_dir / "agent.sock").exists()


def test_an_agent_that_is_away_is_503_with_its_name(start: Start, directory: Path) -> None:
    (directory / "broken.py").write_text("raise ValueError('as told')", encoding="utf-8")
    service = start(with_agent(directory, "broken.run"))
    wait_until(service.ready, "the service")
    status, answer = ask(service, "POST", "/generate", HELLO)
    assert status == 503
    assert "cannot reach the agent" in answer["detail"]
    wait_until(lambda: "cannot import 'broken.run': ValueError: as told" in service.text, "the reason")
    chat = {"model": str(directory), "messages": [{"role": "user", "content": "a"}]}
    assert ask(service, "POST", "/v1/chat/completions", chat)[0] == 200
    service.process.send_signal(signal.SIGTERM)
    assert service.process.wait(30) == 0


def test_steps_pass_nginx_as_they_happen(start: Start, directory: Path) -> None:
    service = start(with_agent(directory, tokens=1000, interval_ms=100))
    answering(service)
    link = http.client.HTTPConnection("127.0.0.1", service.plan.gateway.server_port, timeout=60)
    headers = {"Content-Type": "application/json", "X-Request-Id": "mine"}
    link.request("POST", "/generate/full", json.dumps(HELLO), headers)
    answer = link.getresponse()
    assert b'"WORKFLOW_START"' in answer.readline()
    wait_until(lambda: service.engine.state()["running"] == 1, "the engine's request")
    answer.close()  # a client that leaves
    link.close()
    wait_until(lambda: aborted(service), "the engine's request to be aborted")
    service.process.send_signal(signal.SIGTERM)
    assert service.process.wait(30) == 0


def aborted(service: Service) -> bool:
    state = service.engine.state()
    return state["running"] == 0 and len(state["aborted"]) == 1


def test_the_id_of_a_job_may_have_any_character(start: Start, directory: Path) -> None:
    jobs = Jobs(max_concurrent=1, workers="threads")
    service = start(with_agent(directory, jobs=jobs, tokens=3))
    answering(service)
    body = {**HELLO, "job_id": "a/b c/../d", "sync_timeout": 60}
    status, state = ask(service, "POST", "/generate/async", body)
    assert (status, state["status"]) == (200, "success")
    status, same = ask(service, "GET", "/generate/async/job/a%2Fb%20c%2F..%2Fd")
    assert (status, same) == (200, state)
    service.process.send_signal(signal.SIGTERM)
    assert service.process.wait(30) == 0


def test_a_killed_agent_interrupts_its_jobs_and_leaves_no_worker(start: Start, directory: Path) -> None:
    jobs = Jobs(max_concurrent=1, workers="processes")
    service = start(with_agent(directory, jobs=jobs, tokens=10_000, interval_ms=100), fast_restarts=True)
    answering(service)
    assert ask(service, "POST", "/generate/async", {**HELLO, "job_id": "long"})[0] == 202
    wait_until(lambda: service.engine.state()["running"] == 1, "the job to ask the engine")
    agent = service.find_one(AGENT)
    os.kill(agent, signal.SIGKILL)
    wait_until(lambda: aborted(service), "the worker to end")
    wait_until(lambda: service.find(AGENT) not in ([], [agent]), "another agent")
    wait_until(lambda: ask(service, "GET", "/generate/async/job/long")[0] == 200, "its answers")
    state = ask(service, "GET", "/generate/async/job/long")[1]
    assert (state["status"], state["error"]) == ("interrupted", "the server ended before the job did")
    service.process.send_signal(signal.SIGTERM)
    assert service.process.wait(30) == 0
