"""Requests as the catalog endpoint takes them, before the real engine (cases B1 to B40)."""

import base64
import io
import json
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import APIStatusError, OpenAI, UnprocessableEntityError
from PIL import Image

from tests.e2e.conftest import READY_SECONDS, Service, serving
from tests.e2e.test_modalities import chat, client_of, image, png, post, served
from tests.middleware.test_assets import ASSETS, DESCRIPTION

# Four rounds of the most that this engine answers at once take seconds.
LONG, CHOICES = 400, 32

pytestmark = [
    pytest.mark.engine,
    pytest.mark.own_engine,
    pytest.mark.slow,
    pytest.mark.timeout(3 * READY_SECONDS),
]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with served(tmp_path_factory.mktemp("catalog"), "picture", NIM_CATALOG="1") as running:
        yield running


@pytest.fixture
def client(service: Service) -> OpenAI:
    return client_of(service)


def logprobs(client: OpenAI, content: Any, **headers: str) -> Any:
    """Return the log probabilities of an answer to a message of the user."""
    messages: Any = [{"role": "user", "content": content}]
    answer = client.chat.completions.create(
        model="tiny",
        messages=messages,
        max_tokens=8,
        temperature=0,
        logprobs=True,
        top_logprobs=3,
        extra_headers=headers,
    )
    return answer.choices[0].logprobs


def upload(service: Service, data: bytes, kind: str = "image/png") -> str:
    """Upload an asset as NVCF's clients do; return its id."""
    status, asset = post(service, ASSETS, contentType=kind, description="a square")
    assert status == 200
    headers = {"Content-Type": kind, DESCRIPTION: "a square"}
    request = urllib.request.Request(asset["uploadUrl"], data, headers, method="PUT")
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status == 200
    return str(asset["assetId"])


def test_a_picture_by_tag_by_asset_and_by_list_gives_the_same_answer(
    service: Service, client: OpenAI
) -> None:
    data = png("red")
    url = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    asset = upload(service, data)
    reference = f"data:image/png;asset_id,{asset}"
    header = {"NVCF-INPUT-ASSET-REFERENCES": asset}
    question = {"type": "text", "text": "What is this?"}
    listed = logprobs(client, [image(data), question])
    assert logprobs(client, f'<img src="{url}" />What is this?') == listed
    assert logprobs(client, f'<img src="{reference}" />What is this?', **header) == listed
    assert (
        logprobs(client, [{"type": "image_url", "image_url": {"url": reference}}, question], **header)
        == listed
    )
    assert logprobs(client, [image(png("blue")), question]) != listed


def test_assets_are_bound_to_their_header_and_go_when_deleted(service: Service, client: OpenAI) -> None:
    asset = upload(service, png("red"))
    said = f'<img src="data:image/png;asset_id,{asset}" />What?'
    with pytest.raises(APIStatusError) as refused:
        logprobs(client, said)
    assert (refused.value.status_code, asset in refused.value.message) == (400, True)
    assert logprobs(client, said, **{"NVCF-INPUT-ASSET-REFERENCES": asset})
    assert [each["assetId"] for each in service.json(ASSETS)["assets"]].count(asset) == 1
    request = urllib.request.Request(f"{service.root}{ASSETS}/{asset}", method="DELETE")
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status == 204
    with pytest.raises(APIStatusError) as refused:
        logprobs(client, said, **{"NVCF-INPUT-ASSET-REFERENCES": asset})
    assert refused.value.status_code == 404
    assert refused.value.response.headers["Content-Type"] == "application/problem+json"


def test_an_asset_of_several_megabytes(service: Service, client: OpenAI) -> None:
    noise = io.BytesIO()
    Image.effect_noise((2400, 2400), 200).save(noise, "PNG", compress_level=0)
    asset = upload(service, noise.getvalue())
    assert len(noise.getvalue()) > 5_000_000
    said = f'<img src="data:image/png;asset_id,{asset}" />What?'
    assert logprobs(client, said, **{"NVCF-INPUT-ASSET-REFERENCES": asset})


@pytest.mark.parametrize(
    ("field", "value"),
    [("max_tokens", 70_000), ("temperature", 2.5), ("top_p", 1.5), ("reasoning_budget", 40_000)],
)
def test_what_is_out_of_bounds_is_refused_by_its_name(client: OpenAI, field: str, value: Any) -> None:
    messages: Any = [{"role": "user", "content": "x"}]
    with pytest.raises(UnprocessableEntityError) as refused:
        client.chat.completions.create(model="tiny", messages=messages, extra_body={field: value})
    assert refused.value.body["param"] == field  # type: ignore[index]


def test_seeds_that_a_double_has_rounded_and_streams_pass(client: OpenAI) -> None:
    more = {"seed": 9223372036854776000}
    messages: Any = [
        {"role": "user", "content": f'<img src="{image(png("red"))["image_url"]["url"]}"> What?'}
    ]
    parts = [
        *client.chat.completions.create(
            model="tiny", messages=messages, max_tokens=8, stream=True, temperature=0, extra_body=more
        )
    ]
    assert parts[-1].choices[0].finish_reason == "length"


def test_other_files_of_the_machine_stay_closed(service: Service, client: OpenAI) -> None:
    for url in (
        "file:///etc/passwd",
        f"file://{service.run_dir}/plan.json",
        f"file://{service.run_dir}/assets/../plan.json",
    ):
        with pytest.raises(APIStatusError) as refused:
            chat(client, {"type": "image_url", "image_url": {"url": url}})
        assert refused.value.status_code in (400, 422)


def test_langchain_sends_a_picture_of_more_than_200_kilobytes(service: Service) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        langchain = pytest.importorskip("langchain_nvidia_ai_endpoints")
        noise = io.BytesIO()
        Image.effect_noise((600, 600), 200).save(noise, "PNG", compress_level=0)
        url = f"data:image/png;base64,{base64.b64encode(noise.getvalue()).decode()}"
        assert len(url) > 400_000
        model = langchain.ChatNVIDIA(base_url=f"{service.root}/v1", model="tiny", max_tokens=8)
        answer = model.invoke(
            [
                {
                    "role": "user",
                    "content": [
                        {"type": "image_url", "image_url": {"url": url}},
                        {"type": "text", "text": "What?"},
                    ],
                }
            ]
        )
    assert isinstance(answer.content, str)


def test_a_budget_ends_the_thinking_of_the_demo_model(tmp_path: Path) -> None:
    """In all its spellings; the thought of this question has some twenty tokens."""
    with serving(tmp_path, NIM_CATALOG="1") as service:

        def thought(**asked: Any) -> int:
            kwargs = {"enable_thinking": True} | asked.pop("chat_template_kwargs", {})
            status, answer = post(
                service,
                "/v1/chat/completions",
                model="nim/demo",
                messages=[{"role": "user", "content": "Hello! How are you?"}],
                max_tokens=100,
                temperature=0,
                chat_template_kwargs=kwargs,
                **asked,
            )
            assert status == 200, answer
            message = answer["choices"][0]["message"]
            return len((message.get("reasoning") or "").split())

        whole = thought()
        assert whole > 10
        assert thought(reasoning_budget=-1) == whole
        assert thought(reasoning_budget=5) < whole
        assert thought(chat_template_kwargs={"reasoning_budget": 5}) == thought(reasoning_budget=5)
        assert thought(thinking_token_budget=5, reasoning_budget=-1) == thought(reasoning_budget=5)
        assert service.get("/v1/health/ready")[0] == 200
        assert json.loads(service.get(ASSETS)[1]) == {"assets": []}


def test_a_long_answer_is_asked_for_later(service: Service) -> None:
    """The gateway, the middleware and the engine: 202, 202 until it is there, the engine's own answer."""
    body: Any = {
        "messages": [{"role": "user", "content": "Hi"}],
        "max_tokens": 2,
        "temperature": 0,
        "seed": 1,
    }
    quick, direct = polled(service, "60", **body), polled(service, None, **body)
    assert quick[0] == direct[0] == 200
    assert quick[1]["NVCF-STATUS"] == "fulfilled"
    assert "NVCF-STATUS" not in direct[1]
    assert quick[2]["choices"] == direct[2]["choices"]
    assert polled(service, "0", **body)[0] == 400
    status, headers, answer = polled(
        service, "1", **body | {"max_tokens": LONG, "ignore_eos": True, "n": CHOICES, "temperature": 1}
    )
    assert status == 202, answer
    name = headers["NVCF-REQID"]
    while status == 202:
        assert headers["NVCF-STATUS"] == "in-progress"
        status, headers, answer = polled(service, "10", name=name)
    assert (status, headers["NVCF-STATUS"], headers["NVCF-REQID"]) == (200, "fulfilled", name)
    assert answer["usage"]["completion_tokens"] == LONG * CHOICES
    assert polled(service, "1", name="nobody")[0] == 404


def polled(service: Service, seconds: str | None, *, name: str = "", **body: Any) -> tuple[int, Any, Any]:
    """Return (status, headers, JSON or None) of a chat request, or of GET for its answer."""
    path, data = (f"status/{name}", None) if name else ("chat/completions", json.dumps(body).encode())
    headers = {"Content-Type": "application/json"} | ({"NVCF-POLL-SECONDS": seconds} if seconds else {})
    request = urllib.request.Request(f"{service.root}/v1/{path}", data, headers)
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.status, answer.headers, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        return error.code, error.headers, json.loads(error.read())
