"""The example of the page about the agent is run as it stands there."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

from nim.agent.config.check_components import check_components
from nim.agent.config.read_agent_config import parse_agent_config
from nim.plan import Component
from tests.agent.conftest import Start
from tests.agent.scripted_engine import Turn

PAGE = Path(__file__).resolve().parents[2] / "docs" / "agent.md"


def blocks(language: str) -> list[str]:
    """Return the blocks of the page in a language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


async def test_the_example_counts_days(start: Start, directory: Path) -> None:
    (example,) = blocks("python")
    assert example.count("\n") <= 20
    (directory / "my_workflow.py").write_text(example, encoding="utf-8")
    agent = await start("my_workflow.countdown")
    day = (datetime.now(UTC).date() + timedelta(days=400)).isoformat()
    events = await agent.events("/generate/stream", {"input_message": day})
    assert [name for name, _ in events] == ["intermediate_data", "intermediate_data", "data", "data"]
    assert events[-1] == ("data", {"value": f"until {day}"})
    status, answer = await agent.post("/generate", {"input_message": day})
    assert status == 200
    assert re.fullmatch(rf"(399|400|401) days until {day}", answer["value"])


async def test_the_example_is_a_tool_as_well(start: Start, directory: Path) -> None:
    (example,) = blocks("python")
    (directory / "my_workflow.py").write_text(example, encoding="utf-8")
    agent = await start(
        "tool_calling",
        Turn(calls=[("days", '{"day": "2000-01-01"}')]),
        Turn(text="ok"),
        functions={"days": Component(kind="my_workflow.days_until")},
        tool_names=["days"],
    )
    assert (await agent.post("/generate", {"input_message": "a"}))[0] == 200
    assert int(agent.engine.requests[-1]["messages"][-1]["content"]) < -9000


def test_the_files_of_the_page_can_be_read(directory: Path) -> None:
    (directory / "my_workflow.py").touch()
    for text in blocks("yaml"):
        check_components(parse_agent_config(text, "agent.yaml"), directory / "agent.yaml")
