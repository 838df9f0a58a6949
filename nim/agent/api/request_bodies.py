"""The bodies of requests, with their bounds; FastAPI answers 422 and names the field."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from nim.agent.workflows.workflow_context import Request

MOST_ID_CHARACTERS = 255
# They say how the request runs, not what it asks.
_RESERVED = frozenset({"input_message", "job_id", "sync_timeout", "expiry_seconds"})

# The first wrong item is named, not each of a million.
Objects = Annotated[list[dict[str, Any]], Field(fail_fast=True)]


class MessageBody(BaseModel):
    """A message as OpenAI has it; parts of its content and other fields pass as they are."""

    model_config = ConfigDict(extra="allow")

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | Objects | None = None

    @model_validator(mode="after")
    def _has_content(self) -> Self:
        if self.content is None and self.role != "assistant":
            raise ValueError(f"a message of the role {self.role} needs content")
        return self


Messages = Annotated[list[MessageBody], Field(min_length=1, fail_fast=True)]


class GenerateBody(BaseModel):
    """The input of a workflow: either a text alone, or messages, beside which other fields may be."""

    model_config = ConfigDict(extra="allow")

    input_message: str | None = None
    messages: Messages | None = None

    @model_validator(mode="after")
    def _is_one_of_both(self) -> Self:
        if (self.input_message is None) == (self.messages is None):
            raise ValueError("expected either input_message or messages")
        extra = sorted(self.model_fields_set - _RESERVED) if self.input_message is not None else []
        if extra := [name for name in extra if name != "messages"]:
            raise ValueError(f"no other field can be beside input_message: {', '.join(extra)[:200]}")
        return self

    def request(self, headers: dict[str, str]) -> Request:
        """Return the Request of a workflow."""
        if self.messages is None:
            return Request(
                messages=[{"role": "user", "content": self.input_message}], options={}, headers=headers
            )
        return Request(messages=_plain(self.messages), options=self.model_extra or {}, headers=headers)


class AsyncGenerateBody(GenerateBody):
    """The input of a job, and how long the request waits for it."""

    job_id: str | None = Field(None, min_length=1, max_length=MOST_ID_CHARACTERS)
    sync_timeout: int = Field(0, ge=0, le=300)
    expiry_seconds: int = Field(3600, ge=600, le=86400)


class ChatBody(BaseModel):
    """A chat request of OpenAI's API. Other fields pass without effect."""

    model_config = ConfigDict(extra="allow")

    messages: Messages
    model: str | None = None
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    logit_bias: dict[str, float] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=20)
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    n: int | None = Field(None, ge=1, le=128, description="One choice is answered, whatever this says.")
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    response_format: dict[str, Any] | None = None
    seed: int | None = None
    service_tier: Literal["auto", "default"] | None = None
    stop: str | Annotated[list[str], Field(fail_fast=True)] | None = None
    stream: bool | None = False
    stream_options: dict[str, Any] | None = None
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    tools: Objects | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = True
    user: str | None = None

    @property
    def wants_usage(self) -> bool:
        """Return whether a stream ends with the usage."""
        return bool((self.stream_options or {}).get("include_usage"))

    def request(self, headers: dict[str, str], *, stream: bool) -> Request:
        """Return the Request of a workflow."""
        options = self.model_dump(exclude_unset=True, exclude_none=True, exclude={"messages"})
        return Request(messages=_plain(self.messages), options=options, headers=headers, stream=stream)


def _plain(messages: list[MessageBody]) -> list[dict[str, Any]]:
    """Return the messages as dicts, without fields that the client has not sent."""
    return [message.model_dump(exclude_unset=True) for message in messages]
