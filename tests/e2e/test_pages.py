"""The real engine used by a page in Chromium, with default settings."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Service
from tests.gateway.browser import CHROMIUM, FOREIGN_HOST, served, verdicts_of

pytestmark = [
    pytest.mark.engine,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]
HEADERS = {"Content-Type": "application/json", "Authorization": "Bearer of-a-page", "X-Stainless-Lang": "js"}


def chat(service: Service, **body: Any) -> dict[str, Any]:
    """Return a chat request as `fetch` takes it."""
    asked = {"model": "nim/demo", "messages": [{"role": "user", "content": "Hello! How are you?"}], **body}
    url = f"{service.root}/v1/chat/completions"
    return {
        "url": url,
        "method": "POST",
        "headers": HEADERS,
        "body": json.dumps(asked),
        "show": ["x-request-id"],
    }


async def browse(host: str, directory: Path, *requests: dict[str, Any]) -> list[Any]:
    async with served() as site:
        return await verdicts_of(site, host, directory / "profile", *requests)


async def test_a_page_of_this_machine_streams_and_reads_errors(service: Service, tmp_path: Path) -> None:
    streamed, refused, models, metadata = await browse(
        "localhost",
        tmp_path,
        chat(service, stream=True, max_tokens=20),
        chat(service, temperature=-1),
        {"url": f"{service.root}/v1/models"},
        {"url": f"{service.root}/v1/metadata"},
    )
    assert streamed["status"] == models["status"] == metadata["status"] == 200
    text = "".join(streamed["parts"])
    assert text.count("data: {") > 1
    assert text.endswith("data: [DONE]\n\n")
    assert streamed["shown"]["x-request-id"]
    assert refused["status"] == 400
    assert "temperature" in json.loads("".join(refused["parts"]))["error"]["message"]


async def test_a_foreign_page_does_neither(service: Service, tmp_path: Path) -> None:
    found = await browse(
        FOREIGN_HOST, tmp_path, chat(service, max_tokens=1), {"url": f"{service.root}/v1/models"}
    )
    assert found == ["refused", "refused"]
