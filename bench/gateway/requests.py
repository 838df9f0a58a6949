"""The requests sent, as bytes: similar to an SDK's, the same to every target."""

import json
from dataclasses import dataclass
from pathlib import Path

from bench.peers.peer import CHAT, KEY

PROMPT = "Say something about the sea, the wind and the people who live by them. " * 12
BIG_BYTES = 10_000_000
MODEL = "bench"


def chat(*, stream: bool, prompt: str = PROMPT, model: str = MODEL, **more: object) -> bytes:
    """Return a chat completion."""
    messages = [{"role": "user", "content": prompt}]
    body = json.dumps({"model": model, "stream": stream, "messages": messages, **more}).encode()
    return request("POST", CHAT, body)


def request(method: str, path: str, body: bytes = b"") -> bytes:
    """Return one HTTP request with a key, as clients send it."""
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: localhost",
        "Accept: application/json",
        f"Authorization: Bearer {KEY}",
        "User-Agent: bench/1",
    ]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


@dataclass(frozen=True, slots=True)
class Requests:
    """The same in files, for the load client."""

    folder: Path

    def file(self, name: str, data: bytes) -> Path:
        """Return the file that holds the request."""
        path = self.folder / f"{name}.request"
        if not path.exists():
            path.write_bytes(data)
        return path

    def json(self) -> Path:
        return self.file("json", chat(stream=False))

    def stream(self) -> Path:
        return self.file("stream", chat(stream=True))

    def big(self) -> Path:
        return self.file("big", chat(stream=False, prompt="a" * BIG_BYTES))

    def get(self, path: str) -> Path:
        return self.file(path.strip("/").replace("/", "-"), request("GET", path))
