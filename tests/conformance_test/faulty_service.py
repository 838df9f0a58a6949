"""An independent NIM-like program that is correct except for the faults it is started with.

STRANGER_FAULTS names them, with commas. Without arguments it serves on NIM_SERVER_PORT; else it is a command.
"""

import json
import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

FAULTS = set(os.environ.get("STRANGER_FAULTS", "").split(","))
NO_STORE = "no-store, no-cache, must-revalidate"
RUNNABLE = "ab" * 32
PROFILE = {"id": RUNNABLE, "tags": {"llm_engine": "vllm", "tp": "1"}}
MANIFEST = {"schema_version": "2.0.0", "profile_selection_criteria": "default", "profiles": [PROFILE]}
# While it loads, its readiness fails as often as this.
LOADING_LOOKS = 3
METRICS = r"""# HELP up Up.
# TYPE up gauge
up{a="b\"c"} 1
vllm:seconds_bucket{le="+Inf"} 2 1700000000
plain 1.5e3
"""
MANAGEMENT = ("metadata", "version", "license", "manifest", "metrics")


def either(fault: str, wrong: Any, right: Any) -> Any:
    """Return the wrong one where that is the fault."""
    return wrong if fault in FAULTS else right


class Server(ThreadingHTTPServer):
    """Many may come at once. `looks`: how often readiness will still fail; `asked`: how often health was."""

    request_queue_size = 256
    looks = 0
    asked = 0
    answering = 0


def health(word: str) -> dict[str, str]:
    return {"object": "health.response", "message": word, "status": word}


def pages() -> Mapping[str, Any]:
    """Return every GET that answers JSON."""
    model: dict[str, Any] = {"id": "a", "object": "model", "root": "a"}
    adapter = {"id": "b", "object": "model", "root": "a"}
    base = either("no base", model | {"root": "x"}, model)
    return {
        "/v1/models": {
            "object": either("models", "models", "list"),
            "data": either("no models", [], [base, adapter]),
        },
        "/v1/metadata": {
            "modelInfo": either("metadata", [{}], [{"shortName": "a:1", "modelUrl": "hf://o/a"}])
        },
        "/v1/version": {"release": "1", "api": either("version", None, "1")},
        "/v1/license": {"content": either("license", "", "You may.")},
        "/v1/manifest": either("manifest", {"profiles": {}}, MANIFEST),
        "/openapi.json": {"paths": {f"/v1/{name}": {} for name in either("openapi", (), MANAGEMENT)}},
    }


def chunk(**choice: Any) -> str:
    return json.dumps({"object": either("chunk", "chunk", "chat.completion.chunk"), "choices": [choice]})


def chat_events() -> str:
    events = [chunk(delta={"content": "Hi"}, finish_reason=None), chunk(delta={}, finish_reason="stop")]
    events += either("no end", [], ["[DONE]"])
    field = either("field", "date: ", "data: ")
    return ": a comment\n\n" + "".join(f"{field}{event}\n\n" for event in events)


def message_events() -> str:
    names = ["message_start", "content_block_delta", either("message stop", "message_end", "message_stop")]
    return "".join(f"event: {name}\r\ndata: {json.dumps({'type': name})}\r\n\r\n" for name in names)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *_: Any) -> None:
        """Log nothing."""

    def answer(self, status: int, body: str, kind: str = "application/json", **headers: str) -> None:
        data = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        if (mine := self.headers.get("X-Request-Id")) and "request id" not in FAULTS:
            self.send_header("X-Request-Id", mine)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def refuse(self, status: int) -> None:
        error = json.dumps({"error": {"message": "no"}})
        self.answer(
            status, either("html", "<html>no</html>", error), either("html", "text/html", "application/json")
        )

    def do_GET(self) -> None:
        word = self.path.rpartition("/")[2]
        if self.path in ("/v1/health/live", "/v1/health/ready"):
            self.health(word)
        elif self.path == "/v1/metrics":
            self.answer(200, either("metrics", "up = 1\n", METRICS), "text/plain; version=0.0.4")
        elif self.path in pages():
            self.answer(200, json.dumps(pages()[self.path]))
        else:
            self.refuse(404)

    def health(self, word: str) -> None:
        self.server.asked += 1
        if f"slow {word}" in FAULTS or ("busy" in FAULTS and self.server.answering):
            time.sleep(1.5)
        if self.server.looks > 0:
            self.load(word)
            return
        cache = either(f"{word} headers", "max-age=3600", NO_STORE)
        separators = either(f"{word} body", (", ", ": "), (",", ":"))
        text = json.dumps(health(word), separators=separators)
        self.answer(either(f"{word} status", 202, 200), text, Cache_Control=cache)

    def load(self, word: str) -> None:
        """Be live but not ready for the loading time."""
        self.server.looks -= word == "ready"
        dead = word == "ready" or "stillborn" in FAULTS
        self.answer(either("accepted", 204, 503) if dead else 200, "")

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        if "small" in FAULTS and len(data) > 1_000_000:
            return self.refuse(413)
        try:
            body = json.loads(data)
        except ValueError:
            return self.refuse(either("broken json", 500, 400))
        if "key" in FAULTS and self.headers.get("Authorization"):
            return self.refuse(401)
        if "hasty" in FAULTS and self.server.asked <= LOADING_LOOKS * 2 + 2:
            return self.refuse(503)
        if body["model"] not in ("a", "b") and "unknown model" not in FAULTS:
            return self.refuse(404)
        routes: Mapping[str, Callable[[bool], None]] = {
            "/v1/chat/completions": self.chat,
            "/v1/completions": lambda _: self.say({"choices": [{"text": either("completions", None, "x")}]}),
            "/v1/messages": self.message,
            "/v1/messages/count_tokens": lambda _: self.say({"input_tokens": either("count", 0, 3)}),
        }
        self.server.answering += 1
        try:
            if self.is_long(body):
                return self.linger()
            return routes[self.path](bool(body.get("stream")))
        finally:
            self.server.answering -= 1

    def is_long(self, body: Mapping[str, Any]) -> bool:
        """Return whether this answer should be slow, for probes beside it or a stop during it."""
        tokens = body.get("max_tokens", 0)
        return ("busy" in FAULTS and tokens == 64) or ("clings" in FAULTS and tokens > 64)

    def linger(self) -> None:
        """Wait until three probes have been made, or the client has left."""
        self.close_connection = True
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b": wait\n\n")
        enough, deadline = self.server.asked + 3, time.monotonic() + either("clings", 60, 6)
        while self.server.asked < enough and time.monotonic() < deadline:
            time.sleep(0.05)
        self.wfile.write(chat_events().encode())

    def say(self, page: Any) -> None:
        self.answer(200, json.dumps(page))

    def chat(self, stream: bool) -> None:
        if stream:
            kind = either("no stream", "text/plain", "text/event-stream")
            return self.answer(200, chat_events(), kind)
        message = {"role": either("role", "user", "assistant"), "content": "Hi"}
        usage = {"completion_tokens": 1}
        return self.say({"object": "chat.completion", "choices": [{"message": message}], "usage": usage})

    def message(self, stream: bool) -> None:
        if "no messages" in FAULTS:
            return self.refuse(404)
        if stream:
            return self.answer(200, message_events(), "text/event-stream")
        return self.say({"type": "message", "stop_reason": "end_turn"})


def serve() -> int:
    """Serve until SIGTERM; return the exit code."""
    if FAULTS & {"deaf", "clings"}:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(either("exit code", 3, 0)))
    if "operator" in FAULTS and os.environ.get("OUTLINES_CACHE_DIR"):
        return 2
    names = ["NIM_SERVER_PORT", *either("no health port", [], ["NIM_HEALTH_PORT"])]
    api, *others = [Server(("127.0.0.1", int(os.environ[name])), Handler) for name in names]
    api.looks = either("late", 0, LOADING_LOOKS)
    for other in others:
        threading.Thread(target=other.serve_forever, daemon=True).start()
    api.serve_forever()
    return 0


def command(name: str, *arguments: str) -> int:
    """Return a command of the image."""
    if "-h" in arguments:
        print(either(f"help {name}", "", f"usage: {name}"))
        return int(f"help code {name}" in FAULTS)
    if name == "list-model-profiles":
        print(either("profiles", "PROFILES", "MODEL PROFILES"), *listing(), sep="\n")
        return int("path" in FAULTS and "/" in os.environ.get("NIM_MODEL_NAME", ""))
    wanted = os.environ.get("NIM_MODEL_PROFILE", RUNNABLE)
    if wanted != RUNNABLE or ("listed" in FAULTS and "NIM_MODEL_PROFILE" in os.environ):
        print("no such profile", file=sys.stderr)
        return 0 if "forgiving" in FAULTS else 5
    passed = os.environ.get("NIM_PASSTHROUGH_ARGS", "")
    words = passed.split() if "torn" in FAULTS else shlex.split(passed)
    print(f"Selected profile: {wanted}\n\nBackend Arguments")
    print(" \\\n  ".join(["serve", *engine_flags(words, list(arguments[1:]))]))
    return 0


def listing() -> Iterator[str]:
    yield "- Compatible with system and runnable:"
    yield f"  - {RUNNABLE} (vllm-bf16-tp1-pp1)"
    yield either("groups", "- Others:", "- Incompatible with system:")
    yield f"  - {'cd' * 32} (vllm-bf16-tp2-pp1)"


def engine_flags(passed: list[str], given: list[str]) -> Iterator[str]:
    """Yield one of a kind: the last that was given, a flag a line."""
    words = given + passed if "passthrough wins" in FAULTS else passed + given
    chosen = dict(zip(words[::2], words[1::2], strict=False))
    yield from (f"{name} {shlex.quote(value)}" for name, value in chosen.items())


if __name__ == "__main__":
    sys.exit(command(*sys.argv[1:]) if sys.argv[1:] else serve())
