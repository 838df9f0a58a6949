"""Requests with known answers in every dialect, all different within a round."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import yaml

from nim.data_paths import PROFILES

CHAT, COMPLETIONS, MESSAGES = "/v1/chat/completions", "/v1/completions", "/v1/messages"
RESPONSES, GENERATE = "/v1/responses", "/inference/v1/generate"
# The fake engine's answers are so many tokens long unless a request allows less.
FAKE_TOKENS = 48
FAKE_MODEL, DEMO_MODEL = "a-model", "nim/demo"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is sent, and what must come back. `prompt_tokens` is None where it is not known."""

    path: str
    body: Mapping[str, Any]
    text: str
    finish: str
    prompt_tokens: int | None = None

    @property
    def streamed(self) -> bool:
        return bool(self.body.get("stream"))


class FakeQuestions:
    """For the fake engine, in which a token is a byte of the prompt: each prompt has a length of its own."""

    def __init__(self, rng: Random) -> None:
        self._rng, self._number = rng, 0

    def draw(self) -> Question:
        """Return the next one."""
        self._number += 1
        return self.ask(self._rng.choice(FAKE_DIALECTS), self._rng.random() < 0.7, self._rng.randint(1, 60))

    def all_dialects(self) -> list[Question]:
        """Return each dialect, streamed and not."""
        return [self.ask(path, streamed, 5) for path in FAKE_DIALECTS for streamed in (False, True)]

    def ask(self, path: str, streamed: bool, limit: int) -> Question:
        """Return a question in a dialect whose answer may have so many tokens."""
        self._number += 1
        prompt = "x" * self._number
        field, limit_name = FAKE_FIELDS[path]
        asked: Any = [{"role": "user", "content": prompt}] if field == "messages" else prompt
        body: dict[str, Any] = {"model": FAKE_MODEL, field: asked, "stream": streamed}
        body |= {"sampling_params": {"max_tokens": limit}} if path == GENERATE else {limit_name: limit}
        if streamed and path in (CHAT, COMPLETIONS):
            body["stream_options"] = {"include_usage": True}
        count = min(limit, FAKE_TOKENS)
        return Question(
            path=path,
            body=body,
            text=" ".join(map(str, range(1, count + 1)))
            if path == GENERATE
            else "".join(f"tok{number} " for number in range(count)),
            finish="stop" if count == FAKE_TOKENS else "length",
            prompt_tokens=None
            if path == GENERATE and streamed
            else self._number + (len('[{"role": "user", "content": ""}]') if field == "messages" else 0),
        )


FAKE_FIELDS = {
    CHAT: ("messages", "max_tokens"),
    COMPLETIONS: ("prompt", "max_tokens"),
    MESSAGES: ("messages", "max_tokens"),
    RESPONSES: ("input", "max_output_tokens"),
    GENERATE: ("prompt", ""),
}
FAKE_DIALECTS: Sequence[str] = tuple(FAKE_FIELDS)


class DemoQuestions:
    """For the demo model: what it knows by heart, with a name or a colour that nobody else asks about."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._facts = yaml.safe_load((PROFILES / "demo" / "dialogues.yaml").read_text(encoding="utf-8"))
        self._topics: list[tuple[str, str]] = []

    def draw(self) -> Question:
        """Return the next one."""
        path = self._rng.choice((CHAT, MESSAGES, RESPONSES, COMPLETIONS))
        return self._ask(path, self._rng.random() < 0.7)

    def all_dialects(self) -> list[Question]:
        """Return each dialect, streamed and not."""
        paths = (CHAT, MESSAGES, RESPONSES, COMPLETIONS)
        return [self._ask(path, streamed) for path in paths for streamed in (False, True)]

    def _ask(self, path: str, streamed: bool) -> Question:
        if path == COMPLETIONS:
            prompt, text = self._rng.choice(
                [(f"The capital of {land} is", f" {town}.") for land, town in self._facts["capitals"].items()]
            )
            asked: dict[str, Any] = {"prompt": prompt, "max_tokens": 32}
        else:
            turns, text = self._conversation()
            field, limit = ("input", "max_output_tokens") if path == RESPONSES else ("messages", "max_tokens")
            asked = {field: turns, limit: 400}
        body = {"model": DEMO_MODEL, "stream": streamed, "temperature": 0.0} | asked
        return Question(path=path, body=body, text=text, finish="stop")

    def _conversation(self) -> tuple[list[dict[str, str]], str]:
        """Return a conversation with its expected answer, or a request for a long one."""
        if self._rng.random() < 0.4:
            count = " ".join(map(str, range(1, 101)))
            return [{"role": "user", "content": "Count to one hundred."}], count
        if not self._topics:
            self._topics = [("favorite color", color) for color in self._facts["colors"]]
            self._topics += [("name", name) for name in self._facts["names"]]
            self._rng.shuffle(self._topics)
        topic, value = self._topics.pop()
        told = f"My {topic} is {value}."
        turns = [told, f"Noted — your {topic} is {value}.", "What did I just tell you?"]
        roles = ("user", "assistant", "user")
        said = [{"role": role, "content": turn} for role, turn in zip(roles, turns, strict=True)]
        return said, f"You told me that your {topic} is {value}."


Questions = FakeQuestions | DemoQuestions
