"""The agent's routes in nginx.conf: exactly these, and nothing without an agent."""

import json
from dataclasses import asdict, replace

from nim.plan import FrontEnd, Gateway, agent_routes, gateway_from_json
from nim.render.nginx import render_nginx
from tests.unit.render.test_nginx import GATEWAY, HOW


def rendered(gateway: Gateway) -> str:
    return render_nginx(gateway, **HOW, json_logs=False)


def test_without_an_agent_there_is_no_trace() -> None:
    text = rendered(GATEWAY)
    for word in ("agent.sock", "upstream agent", "//agent", "_error/agent", '"/generate"'):
        assert word not in text


def test_each_route_is_one_exact_location() -> None:
    gateway = replace(GATEWAY, agent_routes=agent_routes(FrontEnd(), jobs=True))
    text = rendered(gateway)
    for path in (
        "/generate",
        "/generate/stream",
        "/generate/full",
        "/generate/async",
        "/chat",
        "/chat/stream",
    ):
        assert text.count(f'location = "{path}" {{') == 1
    assert text.count('location ^~ "/generate/async/job/" {') == 1
    assert text.count('proxy_pass "http://agent"') == 11
    assert 'proxy_pass "http://engine/v1/chat/completions"' in text
    assert "client_max_body_size" in text


def test_a_v1_path_takes_the_engines_place() -> None:
    front_end = FrontEnd(openai_api_v1_path="/v1/chat/completions")
    gateway = replace(GATEWAY, agent_routes=agent_routes(front_end, jobs=False))
    text = rendered(gateway)
    assert text.count('location = "/v1/chat/completions" {') == 1
    assert 'proxy_pass "http://engine/v1/chat/completions"' not in text
    assert "async" not in text


def test_the_routes_survive_json() -> None:
    gateway = replace(GATEWAY, agent_routes=agent_routes(FrontEnd(), jobs=True))
    assert gateway_from_json(json.loads(json.dumps(asdict(gateway)))) == gateway
