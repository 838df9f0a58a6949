"""Templates of vLLM's answers for the routes that generate."""

from collections.abc import Sequence
from dataclasses import dataclass


def chunk(kind: str, choice: str, usage: str = "") -> str:
    """Return the template of one chunk, or of one whole answer, in OpenAI's older dialects."""
    return f'{{"id":$id,"object":"{kind}","created":$created,"model":$model,"choices":[{choice}]{usage}}}'


def generated(choice: str, usage: str = "") -> str:
    """Return the template of one chunk, or of one whole answer, of `/inference/v1/generate`."""
    return f'{{"request_id":$id,"output_mode":"tokens","choices":[{{"index":0,{choice}}}]{usage}}}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How one route answers: templates, one for each event; names stand for values of the answer."""

    prefix: str = "chatcmpl-"
    opening: Sequence[str] = ()
    token: str
    usage: str = ""
    closing: Sequence[str]
    failing: Sequence[str] = ()
    whole: str


USAGE = ',"usage":{"prompt_tokens":$prompt,"total_tokens":$total,"completion_tokens":$spent}'
FAILED = ('{"error":{"message":$dead,"type":"InternalServerError","param":null,"code":500}}', "[DONE]")

DELTA = '{"index":0,"delta":{%s},"logprobs":null,"finish_reason":%s}'
CHAT_MESSAGE = (
    '{"index":0,"message":{"role":"assistant","content":$text,"refusal":null,"reasoning":null},'
    '"logprobs":null,"finish_reason":$reason,"stop_reason":null}'
)
CHAT = Dialect(
    opening=(chunk("chat.completion.chunk", DELTA % ('"role":"assistant","content":""', "null")),),
    token=chunk("chat.completion.chunk", DELTA % ('"content":$piece', "null")),
    usage=chunk("chat.completion.chunk", "", USAGE),
    closing=(chunk("chat.completion.chunk", DELTA % ("", "$reason")), "[DONE]"),
    failing=FAILED,
    whole=chunk("chat.completion", CHAT_MESSAGE, USAGE),
)

TEXT = '{"index":0,"text":%s,"logprobs":null,"finish_reason":%s,"stop_reason":null}'
COMPLETION = Dialect(
    prefix="cmpl-",
    token=chunk("text_completion", TEXT % ("$piece", "null")),
    usage=chunk("text_completion", "", USAGE),
    closing=(chunk("text_completion", TEXT % ('""', "$reason")), "[DONE]"),
    failing=FAILED,
    whole=chunk("text_completion", TEXT % ("$text", "$reason"), USAGE),
)

TOKENS = Dialect(
    prefix="generate-tokens-",
    token=generated('"finish_reason":null,"token_ids":[$spent]'),
    closing=(generated('"finish_reason":$reason,"token_ids":[]'), "[DONE]"),
    failing=FAILED,
    whole=generated('"finish_reason":$reason,"token_ids":$ids', USAGE),
)

SPENT = '"usage":{"input_tokens":$prompt,"output_tokens":$spent}'
MESSAGE = (
    '{"id":$id,"type":"message","role":"assistant","content":[%s],"model":$model,'
    '"stop_reason":%s,"stop_sequence":null,' + SPENT + "}"
)
STOPPED = '"delta":{"stop_reason":$stop,"stop_sequence":null},' + SPENT
MESSAGES = Dialect(
    opening=(
        '{"type":"message_start","message":' + MESSAGE % ("", "null") + "}",
        '{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}',
    ),
    token='{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":$piece}}',
    closing=(
        '{"type":"content_block_stop","index":0}',
        '{"type":"message_delta",' + STOPPED + "}",
        '{"type":"message_stop"}',
    ),
    failing=('{"type":"error","error":{"type":"internal_error","message":$dead}}',),
    whole=MESSAGE % ('{"type":"text","text":$text}', "$stop"),
)

RESPONSE = (
    '{"id":$id,"object":"response","created_at":$created,"model":$model,"status":$status,"output":$output,'
    '"incomplete_details":$incomplete,"background":$background,"previous_response_id":$previous,'
    '"usage":$usage,"parallel_tool_calls":true,"tool_choice":"none","tools":[],"metadata":null}'
)
RESPONSE_USAGE = (
    '{"input_tokens":$prompt,"output_tokens":$spent,"total_tokens":$total,'
    '"input_tokens_details":{"cached_tokens":0},"output_tokens_details":{"reasoning_tokens":0}}'
)
PLACE = '"item_id":$item,"output_index":0,"content_index":0'
PART = '{"type":"output_text","text":$text,"annotations":[],"logprobs":null}'
ITEM = '{"id":$item,"type":"message","role":"assistant","status":"%s","content":[%s]}'


def numbered(name: str, rest: str) -> str:
    """Return the template of one event of `/v1/responses`."""
    return f'{{"type":"response.{name}","sequence_number":$number,{rest}}}'


RESPONSES = Dialect(
    prefix="resp_",
    opening=(
        numbered("created", f'"response":{RESPONSE}'),
        numbered("in_progress", f'"response":{RESPONSE}'),
        numbered("output_item.added", '"output_index":0,"item":' + ITEM % ("in_progress", "")),
        numbered("content_part.added", f'{PLACE},"part":{PART}'),
    ),
    token=numbered("output_text.delta", f'{PLACE},"delta":$piece,"logprobs":[]'),
    closing=(
        numbered("output_text.done", f'{PLACE},"text":$text,"logprobs":[]'),
        numbered("content_part.done", f'{PLACE},"part":{PART}'),
        numbered("output_item.done", '"output_index":0,"item":' + ITEM % ("completed", PART)),
        numbered("completed", f'"response":{RESPONSE}'),
    ),
    whole=RESPONSE,
)

DIALECTS = {
    "/v1/chat/completions": CHAT,
    "/v1/completions": COMPLETION,
    "/v1/messages": MESSAGES,
    "/v1/responses": RESPONSES,
    "/inference/v1/generate": TOKENS,
}
