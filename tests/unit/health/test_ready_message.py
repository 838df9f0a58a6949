"""The lines that are logged once a service is ready."""

import json
import shlex
from dataclasses import replace
from pathlib import Path

from nim.health.ready_message import ready_lines
from tests.process.plans import make_plan


def test_the_first_line_has_the_address_and_the_second_a_command(directory: Path) -> None:
    plan = make_plan(directory)
    name = plan.model.served_names[0]
    where, example = ready_lines(plan)
    assert where == f"ready: http://localhost:{plan.gateway.server_port}, model {name}, docs at /docs"
    words = shlex.split(example.removeprefix("try: "))
    assert words[:2] == ["curl", f"http://localhost:{plan.gateway.server_port}/v1/chat/completions"]
    assert json.loads(words[-1])["model"] == name


def test_a_name_with_quotes_survives_the_shell(directory: Path) -> None:
    plan = make_plan(directory)
    odd = 'it\'s "odd" $HOME'
    _, example = ready_lines(replace(plan, model=replace(plan.model, served_names=(odd,))))
    assert json.loads(shlex.split(example)[-1])["model"] == odd


def test_closed_groups_are_not_advertised(directory: Path) -> None:
    plan = make_plan(directory)
    gateway = replace(plan.gateway, route_groups=("management",))
    (only,) = ready_lines(replace(plan, gateway=gateway))
    assert only.endswith(f"model {plan.model.served_names[0]}")


def test_a_pooling_model_gets_an_example_that_it_can_answer(directory: Path) -> None:
    plan = make_plan(directory)
    _, example = ready_lines(replace(plan, gateway=replace(plan.gateway, tasks=("pooling",))))
    assert "/v1/embeddings" in example
    (only,) = ready_lines(replace(plan, gateway=replace(plan.gateway, tasks=("speech",))))
    assert "curl" not in only
