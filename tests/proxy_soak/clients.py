"""Clients that send requests without pause, and judge each answer."""

import hashlib
import http.client
import json
import threading
import uuid
from collections import Counter
from random import Random

from tests.proxy.running import Proxy
from tests.proxy_soak.replica import MODEL

WHOLE, HONEST, CUT, NOTHING = "whole", "an honest error", "cut off", "no answer"
CLIENTS = 6
EVENTS = 20
# Longer than the proxy waits for a silent replica.
ANSWER_SECONDS = 30


class Clients:
    """Threads that send while the gate is open. `wrong` says what no fault excuses."""

    def __init__(self, proxy: Proxy, seed: int) -> None:
        self._proxy, self._seed = proxy, seed
        self.outcomes: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._open, self._over = threading.Event(), threading.Event()
        self._idle = threading.Semaphore(0)
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._send, args=(number,)) for number in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def open(self) -> None:
        """Let them send."""
        self._open.set()

    def pause(self) -> Counter[str]:
        """Wait until each has its answer; return the outcomes since the last pause."""
        self._open.clear()
        for _ in self._threads:
            assert self._idle.acquire(timeout=2 * ANSWER_SECONDS), "a client got no answer"
        outcomes, self.outcomes = self.outcomes, Counter()
        return outcomes

    def stop(self) -> None:
        """End them."""
        self._over.set()
        self._open.set()
        for thread in self._threads:
            thread.join(2 * ANSWER_SECONDS)

    def _send(self, number: int) -> None:
        rng = Random(self._seed * 100 + number)
        while True:
            self._open.wait()
            if self._over.is_set():
                return
            while self._open.is_set() and not self._over.is_set():
                outcome = self._ask(rng)
                with self._lock:
                    self.outcomes[outcome] += 1
            self._idle.release()

    def _ask(self, rng: Random) -> str:
        """Return the outcome of one request: short, long or a stream."""
        stream, size = rng.random() < 0.4, rng.choice((10, 1000, 60_000))
        body = json.dumps({"text": "x" * size, "model": MODEL, "stream": stream}).encode()
        link = http.client.HTTPConnection("127.0.0.1", self._proxy.port, timeout=ANSWER_SECONDS)
        name = uuid.uuid4().hex
        headers = {"Content-Type": "application/json", "X-Request-Id": name}
        try:
            link.request("POST", "/v1/chat/completions", body, headers)
            response = link.getresponse()
        except TimeoutError:
            return self._note(f"{name}: no answer in {ANSWER_SECONDS} s")
        except (OSError, http.client.HTTPException):
            return NOTHING
        try:
            return self._judge(name, body, stream, response.status, response.read())
        except TimeoutError:
            return self._note(f"{name}: silence for {ANSWER_SECONDS} s within an answer")
        except (OSError, http.client.HTTPException):
            return CUT
        finally:
            link.close()

    def _judge(self, name: str, body: bytes, stream: bool, status: int, answer: bytes) -> str:
        """Return the outcome of an answer that came to its end."""
        if status in (502, 503, 504):
            error = json.loads(answer)["error"]
            good = error["request_id"] == name and error["message"]
            return HONEST if good else self._note(f"{name}: {answer!r}")
        if status != 200:
            return self._note(f"{name}: status {status}, {answer[:200]!r}")
        if stream:
            good = answer.endswith(b"data: [DONE]\n\n") and answer.count(b"data: ") == EVENTS + 1
        else:
            good = json.loads(answer)["sha256"] == hashlib.sha256(body).hexdigest()
        return WHOLE if good else self._note(f"{name}: {answer[:200]!r}")

    def _note(self, wrong: str) -> str:
        with self._lock:
            self.wrong.append(wrong)
        return "wrong"
