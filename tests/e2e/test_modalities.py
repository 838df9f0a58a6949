"""One tiny model of each kind through the whole service, asked by the official SDK and by plain HTTP."""

import base64
import io
import json
import math
import struct
import subprocess
import sys
import threading
import urllib.error
import urllib.request
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from openai import APIStatusError, BadRequestError, NotFoundError, OpenAI
from PIL import Image

from tests.e2e.conftest import READY_SECONDS, ROOT, Service, serving

pytestmark = [
    pytest.mark.engine,
    pytest.mark.own_engine,
    pytest.mark.slow,
    pytest.mark.timeout(3 * READY_SECONDS),
]
SMALL = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "NIM_DISABLE_CUDA_GRAPH": "1",
    "NIM_MAX_BATCH_SIZE": "8",
    "NIM_ROUTES": "+router",
}


@contextmanager
def served(directory: Path, kind: str, **settings: str) -> Iterator[Service]:
    """Make a tiny model of a kind and serve it under the name `tiny`."""
    model = directory / kind
    subprocess.run(
        [sys.executable, "-m", "tests.tiny_models.build", kind, str(model)], cwd=ROOT, check=True, timeout=200
    )
    with serving(
        directory, NIM_MODEL_PATH=str(model), NIM_SERVED_MODEL_NAME="tiny", **SMALL, **settings
    ) as running:
        yield running


def client_of(service: Service) -> OpenAI:
    return OpenAI(base_url=f"{service.root}/v1", api_key="none", max_retries=0, timeout=120)


def post(service: Service, path: str, **body: Any) -> tuple[int, Any]:
    request = urllib.request.Request(
        service.root + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def routes(service: Service) -> set[str]:
    return set(service.json("/openapi.json")["paths"])


def open_routes(**settings: str) -> set[str]:
    """Return the paths that `nim routes` says are open for a model."""
    done = subprocess.run(
        [str(ROOT / "entrypoint.sh"), "routes", "--json"],
        env={"PATH": "/usr/bin:/bin", **settings},
        capture_output=True,
        timeout=60,
        check=True,
    )
    return {row["path"] for row in json.loads(done.stdout)["routes"] if row["open"]}


def chat(client: OpenAI, *parts: dict[str, Any], **more: Any) -> Any:
    content: Any = [*parts, {"type": "text", "text": "What is this?"}]
    messages: Any = [{"role": "user", "content": content}]
    return client.chat.completions.create(
        model="tiny", messages=messages, max_tokens=8, temperature=0, **more
    )


def png(color: str, size: int = 56) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (size, size), color).save(file, "PNG")
    return file.getvalue()


def image(data: bytes) -> dict[str, Any]:
    url = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    return {"type": "image_url", "image_url": {"url": url}}


def wav(seconds: float = 1.0) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(16_000)
        count = int(seconds * 16_000)
        out.writeframes(b"".join(struct.pack("<h", int(9000 * math.sin(n / 9))) for n in range(count)))
    return file.getvalue()


def test_embeddings(tmp_path: Path) -> None:
    with served(tmp_path, "embedding") as service:
        client = client_of(service)
        answer = client.embeddings.create(model="tiny", input=["a text", "another", "a text"])
        first, second, third = (each.embedding for each in answer.data)
        assert len(first) == 64
        assert first == pytest.approx(third, abs=1e-3)
        assert first != pytest.approx(second, abs=1e-3)
        assert math.isclose(sum(x * x for x in first), 1, abs_tol=1e-2)
        assert answer.usage.prompt_tokens > 0
        assert post(service, "/pooling", model="tiny", input="a text")[0] == 200
        status, ranked = post(service, "/v1/rerank", model="tiny", query="a text", documents=["x", "a text"])
        assert (status, ranked["results"][0]["index"]) == (200, 1)
        with pytest.raises(NotFoundError, match="generates no text"):
            client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": "x"}])
        assert "/v1/embeddings" in routes(service)
        assert "/v1/chat/completions" not in routes(service)


def test_rerank_and_score(tmp_path: Path) -> None:
    with served(tmp_path, "reranker") as service:
        status, ranked = post(
            service, "/v1/rerank", model="tiny", query="q", documents=["one", "two", "three"], top_n=2
        )
        assert (status, len(ranked["results"])) == (200, 2)
        scores = [each["relevance_score"] for each in ranked["results"]]
        assert scores == sorted(scores, reverse=True)
        status, scored = post(service, "/v1/score", model="tiny", text_1="q", text_2=["one", "two"])
        assert (status, len(scored["data"])) == (200, 2)
        assert all(0 <= each["score"] <= 1 for each in scored["data"])


def test_classify(tmp_path: Path) -> None:
    with served(tmp_path, "classifier") as service:
        status, answer = post(service, "/classify", model="tiny", input=["one text", "two"])
        assert status == 200
        assert [len(each["probs"]) for each in answer["data"]] == [3, 3]
        assert all(math.isclose(sum(each["probs"]), 1, abs_tol=1e-2) for each in answer["data"])


class Files(BaseHTTPRequestHandler):
    """A server of this machine with a picture, and a way that leads to it; `asked` counts the requests."""

    asked: list[str] = []  # noqa: RUF012 - the server makes an object for each request

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.path.startswith("/redirect"):
            self.send_response(302)
            self.send_header("Location", "/picture.png")
            self.end_headers()
            return
        data = png("red")
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def files() -> Iterator[str]:
    """Yield the address of that server."""
    Files.asked.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Files) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_picture_in_chat(tmp_path: Path, files: str) -> None:
    with served(tmp_path, "picture") as service:
        client = client_of(service)
        red, again, blue = (
            chat(client, image(png(color)), logprobs=True, top_logprobs=5) for color in ("red", "red", "blue")
        )
        assert red.choices[0].logprobs == again.choices[0].logprobs
        assert red.choices[0].logprobs != blue.choices[0].logprobs
        assert red.usage.prompt_tokens == blue.usage.prompt_tokens
        several = chat(client, *(image(png(color)) for color in ("red", "green", "blue")))
        assert several.usage.prompt_tokens > red.usage.prompt_tokens
        # 20 MB of noise, which no codec makes smaller.
        noise = io.BytesIO()
        Image.effect_noise((4600, 4600), 200).save(noise, "PNG", compress_level=0)
        assert len(noise.getvalue()) > 20_000_000
        assert chat(client, image(noise.getvalue())).usage.prompt_tokens == red.usage.prompt_tokens
        with pytest.raises(BadRequestError):
            chat(client, {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}})
        with pytest.raises(NotFoundError, match="embeds"):
            client.embeddings.create(model="tiny", input="x")
        port = files.rpartition(":")[2]
        for url in (
            f"http://{files}/picture.png",
            f"http://localhost:{port}/picture.png",
            f"http://2130706433:{port}/",
            f"http://0x7f.1:{port}/",
            f"http://[::ffff:127.0.0.1]:{port}/",
            f"http://[::1]:{port}/",
            f"http://0.0.0.0:{port}/",
            "http://169.254.169.254/latest/meta-data/",
            "file:///etc/passwd",
            f"file://{tmp_path}/picture/config.json",
        ):
            with pytest.raises(APIStatusError) as refused:
                chat(client, {"type": "image_url", "image_url": {"url": url}})
            assert refused.value.status_code in (400, 422), url
        assert Files.asked == []
        assert service.get("/v1/health/ready")[0] == 200


def test_a_picture_by_address_where_that_is_allowed(tmp_path: Path, files: str) -> None:
    settings = {"NIM_ALLOW_PRIVATE_MEDIA": "1", "NIM_ALLOWED_MEDIA_DOMAINS": "127.0.0.1"}
    with served(tmp_path, "picture", **settings) as service:
        client = client_of(service)
        inline = chat(client, image(png("red")), logprobs=True)
        fetched = chat(
            client, {"type": "image_url", "image_url": {"url": f"http://{files}/picture.png"}}, logprobs=True
        )
        assert fetched.choices[0].logprobs == inline.choices[0].logprobs
        assert Files.asked == ["/picture.png"]
        # Neither another host nor a redirect is followed.
        for url in (f"http://localhost:{files.rpartition(':')[2]}/picture.png", f"http://{files}/redirect"):
            with pytest.raises(APIStatusError):
                chat(client, {"type": "image_url", "image_url": {"url": url}})
        assert Files.asked == ["/picture.png", "/redirect"]


def test_sound_in_chat(tmp_path: Path) -> None:
    with served(tmp_path, "sound") as service:
        client = client_of(service)
        data = base64.b64encode(wav(0.5)).decode()
        by_data = chat(client, {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}})
        by_url = chat(client, {"type": "audio_url", "audio_url": {"url": f"data:audio/wav;base64,{data}"}})
        assert by_data.choices[0].message.content == by_url.choices[0].message.content
        assert by_data.usage.prompt_tokens == by_url.usage.prompt_tokens > 10
        with pytest.raises(APIStatusError):
            chat(client, image(png("red")))


def test_transcription(tmp_path: Path) -> None:
    with served(tmp_path, "transcription") as service:
        client = client_of(service)
        file = ("sound.wav", wav(1.0), "audio/wav")
        said = client.audio.transcriptions.create(
            model="tiny", file=file, language="en", extra_body={"max_completion_tokens": 8}
        )
        assert isinstance(said.text, str)
        for language in ({}, {"language": "de"}):  # without one, the engine finds it out first
            with pytest.deprecated_call():  # the SDK's word on it
                translated = client.audio.translations.create(model="tiny", file=file, extra_body=language)
            assert isinstance(translated.text, str)
        with pytest.raises(APIStatusError) as refused:
            client.audio.transcriptions.create(model="tiny", file=("x.wav", b"no sound", "audio/wav"))
        assert refused.value.status_code == 400
        assert {"/v1/audio/transcriptions", "/v1/audio/translations"} <= routes(service)
