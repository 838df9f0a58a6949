"""The engine's model, asked over its own address with OpenAI's client."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx2
import openai

from nim.agent.workflows.workflow_context import Context, EngineUnreachable, Message, WorkflowError

# Those of a chat request that go to the engine; the others are the workflow's own business.
SAMPLING = (
    "temperature",
    "top_p",
    "max_tokens",
    "max_completion_tokens",
    "stop",
    "seed",
    "frequency_penalty",
    "presence_penalty",
    "logit_bias",
)
CONNECTIONS = 1000


@dataclass(slots=True)
class ToolCall:
    """A call that the model asks for; `arguments` is JSON text."""

    id: str = ""
    name: str = ""
    arguments: str = ""

    def as_message(self) -> dict[str, Any]:
        """Return the call as OpenAI's messages have it."""
        return {
            "id": self.id,
            "type": "function",
            "function": {"name": self.name, "arguments": self.arguments},
        }


@dataclass(slots=True)
class Reply:
    """What the model answered, complete once its stream has ended."""

    text: str = ""
    calls: dict[int, ToolCall] = field(default_factory=dict)


class EngineModel:
    """A model of the engine; `address` is `unix:PATH` or `HOST:PORT`, `options` are those of the file."""

    def __init__(self, address: str, model: str, options: Mapping[str, Any], key: str | None = None) -> None:
        self.name = str(options.get("model_name") or model)
        self._options = {name: value for name, value in options.items() if name in SAMPLING}
        if "chat_template_kwargs" in options:
            self._options["extra_body"] = {"chat_template_kwargs": options["chat_template_kwargs"]}
        unix = address.removeprefix("unix:") if address.startswith("unix:") else None
        limits = httpx2.Limits(max_connections=CONNECTIONS, max_keepalive_connections=20, keepalive_expiry=2)
        self._client = openai.AsyncOpenAI(
            base_url="http://engine/v1" if unix else f"http://{address}/v1",
            api_key=key or "none",
            max_retries=0,
            timeout=None,  # the workflow has a limit
            http_client=httpx2.AsyncClient(
                transport=httpx2.AsyncHTTPTransport(uds=unix, limits=limits), trust_env=False, timeout=None
            ),
        )

    @property
    def stops(self) -> list[str]:
        """Return the file's stop words as a list."""
        return listed_stops(self._options.get("stop"))

    async def close(self) -> None:
        """Close the connections to the engine."""
        await self._client.close()

    async def ask(
        self,
        messages: Sequence[Message],
        context: Context,
        reply: Reply,
        *,
        options: Mapping[str, Any] | None = None,
        tools: Sequence[Mapping[str, Any]] = (),
    ) -> AsyncGenerator[str, None]:
        """Yield the text of the model's answer in pieces, and fill `reply`; WorkflowError if it fails."""
        chosen = {name: value for name, value in (options or {}).items() if name in SAMPLING}
        arguments: Any = {**self._options, **chosen, "model": self.name, "messages": list(messages)}
        arguments |= {"stream": True, "stream_options": {"include_usage": True}}
        if tools:
            arguments["tools"] = list(tools)
        between = context.seconds_since_last_call()
        with context.span("LLM", self.name, list(messages)) as span:
            headers = context.engine_headers()
            span.llm_calls, span.seconds_between_calls = context.llm_calls, between
            context.model = self.name
            try:
                stream = await self._client.chat.completions.create(**arguments, extra_headers=headers)
                async with stream:
                    async for chunk in stream:
                        if chunk.usage:
                            span.usage = _usage(chunk.usage)
                            context.add_usage(span.usage)
                        if chunk.choices and chunk.choices[0].finish_reason:
                            context.finish_reason = chunk.choices[0].finish_reason
                        if chunk.choices and (piece := _read(chunk.choices[0].delta, reply)):
                            span.output = reply.text
                            span.token(piece)
                            yield piece
            except openai.APIError as error:
                raise _failure(error) from error
            except httpx2.HTTPError as error:
                raise EngineUnreachable(f"the engine broke its answer off: {error!r}") from error
            span.output = reply.text or [call.as_message() for call in reply.calls.values()]


def _failure(error: openai.APIError) -> WorkflowError:
    """Return what a workflow raises: EngineUnreachable for what may pass."""
    if isinstance(error, openai.APIConnectionError):
        return EngineUnreachable(f"cannot reach the engine: {error.__cause__ or error}")
    if isinstance(error, openai.APIStatusError) and (error.status_code >= 500 or error.status_code == 429):
        return EngineUnreachable(f"the engine cannot answer now ({error.status_code}): {error.message}")
    return WorkflowError(f"the engine refused the request: {error.message}")


def _read(delta: Any, reply: Reply) -> str:
    """Add a chunk to the reply; return its text."""
    for call in delta.tool_calls or ():
        known = reply.calls.setdefault(call.index, ToolCall())
        known.id = call.id or known.id
        if call.function:
            known.name += call.function.name or ""
            known.arguments += call.function.arguments or ""
    piece = delta.content or ""
    reply.text += piece
    return piece


def listed_stops(stop: str | Sequence[str] | None) -> list[str]:
    """Return stop words, which may be one text or a list of them, as a list."""
    return [stop] if isinstance(stop, str) else list(stop or ())


def _usage(usage: Any) -> dict[str, int]:
    """Return the counts of tokens in the engine's usage."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
    }
