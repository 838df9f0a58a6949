"""The soak test's judge never accepts an incomplete or another request's answer."""

from collections.abc import Iterator
from dataclasses import replace
from random import Random

import pytest

from tests.fakes.launch import Launched, launch
from tests.soak.judge import Ended, Heard, Outcome, judge
from tests.soak.kinds import MOOD
from tests.soak.questions import (
    CHAT,
    FAKE_DIALECTS,
    FAKE_MODEL,
    GENERATE,
    MESSAGES,
    RESPONSES,
    FakeQuestions,
    Question,
)

MINE = "soak-1"
STREAMED = [(path, True) for path in FAKE_DIALECTS]
WHOLE = [(path, False) for path in FAKE_DIALECTS]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    directory = tmp_path_factory.mktemp("engine")
    flags = ("--enable-scale-out", "--served-model-name", FAKE_MODEL)
    with launch(directory, *flags, **{**MOOD, "interval_ms": 1}) as running:
        yield running.wait_ready()


def ask(path: str, streamed: bool, limit: int = 9, number: int = 1) -> Question:
    questions = FakeQuestions(Random(number))
    return [questions.ask(path, streamed, limit) for _ in range(number)][-1]


def hear(engine: Launched, question: Question) -> Heard:
    answer = engine.send("POST", question.path, dict(question.body))
    body = answer.read()
    return Heard(ended=Ended.IN_ORDER, status=answer.status, request_id=MINE, body=body)


@pytest.mark.parametrize(("path", "streamed"), STREAMED + WHOLE)
@pytest.mark.parametrize("limit", [9, 60])
def test_a_whole_answer_is_whole(engine: Launched, path: str, streamed: bool, limit: int) -> None:
    question = ask(path, streamed, limit)
    verdict = judge(question, MINE, hear(engine, question))
    assert verdict.outcome is Outcome.WHOLE, verdict.why


@pytest.mark.parametrize(("path", "streamed"), STREAMED + WHOLE)
def test_no_part_of_an_answer_is_whole(engine: Launched, path: str, streamed: bool) -> None:
    question = ask(path, streamed)
    heard = hear(engine, question)
    for length in range(len(heard.body) - 2):
        part = replace(heard, body=heard.body[:length])
        assert judge(question, MINE, part).outcome in (Outcome.WRONG, Outcome.FALSE_END)
        assert judge(question, MINE, replace(part, ended=Ended.CUT)).outcome is Outcome.CLOSED


@pytest.mark.parametrize(("path", "streamed"), [one for one in STREAMED + WHOLE if one != (GENERATE, True)])
def test_the_answer_to_another_prompt_is_wrong(engine: Launched, path: str, streamed: bool) -> None:
    other = hear(engine, ask(path, streamed, number=2))
    assert judge(ask(path, streamed), MINE, other).outcome is Outcome.WRONG


@pytest.mark.parametrize(("path", "streamed"), STREAMED + WHOLE)
def test_a_longer_answer_and_a_shorter_one_are_not_right(engine: Launched, path: str, streamed: bool) -> None:
    for limit in (8, 10):
        verdict = judge(ask(path, streamed), MINE, hear(engine, ask(path, streamed, limit)))
        assert verdict.outcome in (Outcome.WRONG, Outcome.FALSE_END)


@pytest.mark.parametrize("path", FAKE_DIALECTS)
def test_two_answers_in_one_stream_are_wrong(engine: Launched, path: str) -> None:
    question = ask(path, True)
    first, second = hear(engine, question).body, hear(engine, question).body
    middle = first.index(b"\n\n", len(first) // 2) + 2
    mixed = first[:middle] + second[middle:]
    heard = Heard(ended=Ended.IN_ORDER, status=200, request_id=MINE, body=mixed)
    expected = Outcome.WHOLE if path == MESSAGES else Outcome.WRONG  # whose events do not say whose they are
    assert judge(question, MINE, heard).outcome is expected


def test_another_request_s_id_is_wrong(engine: Launched) -> None:
    question = ask(CHAT, False)
    heard = replace(hear(engine, question), request_id="soak-2")
    assert judge(question, MINE, heard).outcome is Outcome.WRONG


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (502, b'{"error":{"message":"lost","request_id":"soak-1"}}', Outcome.ERROR),
        (502, b'{"error":{"message":"lost","request_id":"soak-2"}}', Outcome.WRONG),
        (502, b"<html>Bad Gateway</html>", Outcome.WRONG),
        (404, b'{"error":{"message":"no such path"}}', Outcome.WRONG),
    ],
)
def test_an_error_is_honest_in_its_dialect_only(status: int, body: bytes, outcome: Outcome) -> None:
    heard = Heard(ended=Ended.IN_ORDER, status=status, request_id=MINE, body=body)
    assert judge(ask(CHAT, False), MINE, heard).outcome is outcome
    assert judge(ask(MESSAGES, False), MINE, heard).outcome is Outcome.WRONG


@pytest.mark.parametrize("streamed", [True, False])
def test_what_vllm_breaks_off_and_calls_complete_is_a_false_end(engine: Launched, streamed: bool) -> None:
    question = ask(RESPONSES, streamed, limit=60)
    heard = hear(engine, ask(RESPONSES, streamed))
    body = heard.body.replace(b'"incomplete"', b'"completed"')
    assert judge(question, MINE, replace(heard, body=body)).outcome is Outcome.FALSE_END


def test_no_end_is_a_hang() -> None:
    assert judge(ask(CHAT, True), MINE, Heard(ended=Ended.LATE)).outcome is Outcome.HANG
