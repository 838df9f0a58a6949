"""Judge what a request got: a complete answer, an error, a closed connection, or a forbidden result."""

import json
from dataclasses import dataclass
from enum import StrEnum

from tests.soak.questions import MESSAGES, Question
from tests.soak.reading import Reading, read_stream, read_whole

HONEST_STATUSES = (500, 502, 503, 504)


class Ended(StrEnum):
    """How the connection's part in it ended: as HTTP wants it, before that, or by us."""

    IN_ORDER = "in order"
    CUT = "cut"
    UNREADABLE = "unreadable"
    LATE = "late"
    LEFT = "left"


class Outcome(StrEnum):
    """WRONG and HANG must not be. FALSE_END: what was broken off is said to be complete."""

    WHOLE = "whole"
    ERROR = "error"
    CLOSED = "closed"
    LEFT = "left"
    FALSE_END = "false end"
    WRONG = "wrong"
    HANG = "hang"


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """All that came back for one request. Without a status nothing came."""

    ended: Ended
    status: int | None = None
    request_id: str | None = None
    body: bytes = b""
    seconds: float = 0.0
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """`begun`: the head of a good answer had come."""

    outcome: Outcome
    why: str = ""
    begun: bool = False
    seconds: float = 0.0
    request_id: str = ""


def judge(question: Question, request_id: str, heard: Heard) -> Verdict:
    """Return the verdict on one request."""
    try:
        outcome, why = _judge(question, request_id, heard)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        outcome, why = Outcome.WRONG, f"cannot be read: {error!r} in {heard.body[-200:]!r}"
    return Verdict(
        outcome=outcome,
        why=f"{question.path}{' streamed' if question.streamed else ''}: {why}",
        begun=heard.status == 200,
        seconds=heard.seconds,
        request_id=request_id,
    )


def _judge(question: Question, request_id: str, heard: Heard) -> tuple[Outcome, str]:
    if heard.status is not None and heard.request_id != request_id:
        return Outcome.WRONG, f"the answer to request {heard.request_id}"
    if heard.ended is Ended.LATE:
        return Outcome.HANG, f"no end after {heard.seconds:.1f} s, {len(heard.body)} bytes"
    if heard.ended is Ended.UNREADABLE:
        return Outcome.WRONG, heard.why
    if heard.ended is not Ended.IN_ORDER:
        return _broken_off(question, heard)
    if heard.status != 200:
        return _error(question, request_id, heard)
    read = read_stream if question.streamed else read_whole
    return _answer(question, read(question.path, heard.body))


def _broken_off(question: Question, heard: Heard) -> tuple[Outcome, str]:
    """Judge a broken-off answer: what arrived must be right."""
    if heard.status == 200 and question.streamed:
        reading = read_stream(question.path, heard.body)
        if not question.text.startswith(reading.text) or len(reading.ids) > 1:
            return Outcome.WRONG, f"broken off after {reading.text[-80:]!r} of {reading.ids}"
    return Outcome.LEFT if heard.ended is Ended.LEFT else Outcome.CLOSED, heard.why


def _error(question: Question, request_id: str, heard: Heard) -> tuple[Outcome, str]:
    """Judge an error: it must be in its dialect's form and a server error."""
    if heard.status not in HONEST_STATUSES:
        return Outcome.WRONG, f"status {heard.status}: {heard.body[:200]!r}"
    data = json.loads(heard.body)
    if not data["error"]["message"] or (question.path == MESSAGES and data["type"] != "error"):
        return Outcome.WRONG, f"no error of its dialect: {heard.body[:200]!r}"
    said = data.get("request_id") or data["error"].get("request_id") or request_id
    if said != request_id:
        return Outcome.WRONG, f"the error of request {said}"
    return Outcome.ERROR, f"status {heard.status}"


def _answer(question: Question, reading: Reading) -> tuple[Outcome, str]:
    told = f"{reading.finish} after {reading.text[-60:]!r}"
    if reading.after_end or len(reading.ids) > 1 or not question.text.startswith(reading.text):
        return Outcome.WRONG, f"mixed up: {told}, {reading.ids}"
    if reading.error:
        return Outcome.ERROR, reading.error
    if not reading.ended:
        return Outcome.WRONG, f"a clean end without the last event: {told}"
    if reading.final_text not in (None, reading.text):
        return Outcome.WRONG, f"sums up to {reading.final_text!r}: {told}"
    if reading.finish == "abort":
        return Outcome.ERROR, "said to be broken off"
    if (reading.text, reading.finish) != (question.text, question.finish):
        return Outcome.FALSE_END, f"said to be complete: {told}"
    if None not in (question.prompt_tokens, reading.prompt_tokens) and (
        question.prompt_tokens != reading.prompt_tokens
    ):
        return Outcome.WRONG, f"the answer to a prompt of {reading.prompt_tokens} tokens"
    return Outcome.WHOLE, ""
