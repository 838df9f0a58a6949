"""Send requests through a started engine before the service is ready, so that no user meets its first one."""

import json
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

from nim.event_loop import EventLoop, Timer
from nim.health.http_request import Address, HttpRequest, post
from nim.plan import MOST_PREFIX_BYTES, WarmUp
from nim.read_regular_file import read_text

Body = dict[str, object]
Attempt = tuple[str, Body]  # route, body

OK = 200
COMPLETIONS, CHAT = "/v1/completions", "/v1/chat/completions"
TOKENS = 2


class WarmUpRequests:
    """Sends the requests of a WarmUp one after the other, from `begin` until all are answered or time is up.

    Of the first request's forms, those that this engine does not have are skipped. A request that fails is
    logged and changes nothing else.
    """

    def __init__(
        self,
        warm_up: WarmUp,
        loop: EventLoop,
        address: Address,
        key: str | None,
        say: Callable[[str, str], None],
    ) -> None:
        self._warm_up, self._loop, self._address, self._key, self._say = warm_up, loop, address, key, say
        self._requests: deque[tuple[Attempt, ...]] = deque()
        self._pending: HttpRequest | None = None
        self._timer: Timer | None = None
        self._began = self._deadline = 0.0
        self._sent = 0
        self._done: Callable[[], None] = lambda: None

    def begin(self, done: Callable[[], None]) -> None:
        """Start sending; call `done` once, when all is answered or time is up, unless `end` comes first."""
        self._done, self._sent = done, 0
        self._began = self._loop.now()
        self._deadline = self._began + self._warm_up.seconds
        self._requests = deque([first_request(self._warm_up.model), *self._prefixes()])
        self._timer = self._loop.after(self._warm_up.seconds, self._time_is_up)
        self._next()

    def end(self) -> None:
        """Cancel what is pending; `done` will not be called."""
        for pending in (self._timer, self._pending):
            if pending:
                pending.cancel()
        self._timer = self._pending = None
        self._requests.clear()

    def _prefixes(self) -> Iterator[tuple[Attempt, ...]]:
        """Yield a request for each line of the file; log a file that cannot be read any more."""
        if self._warm_up.file is None:
            return
        try:
            lines = read_text(Path(self._warm_up.file), MOST_PREFIX_BYTES).splitlines()
            values = [json.loads(line) for line in lines if line.strip()]
        except (OSError, ValueError) as error:
            self._say("WARNING", f"no prefixes are sent: '{self._warm_up.file}' cannot be read: {error}")
            return
        for value in values:
            yield (prefix_request(self._warm_up.model, value),)

    def _next(self) -> None:
        """Send the next request; finish when there is none."""
        if not self._requests:
            self._finish(
                f"the engine was warmed up in {self._loop.now() - self._began:.1f} s: {self._sent} requests"
            )
            return
        self._attempt(self._requests.popleft())

    def _attempt(self, forms: tuple[Attempt, ...]) -> None:
        """Send the first of these forms of a request, and the next one if the engine refuses it."""
        (route, body), *others = forms

        def answered(status: int, _: bytes) -> None:
            self._pending = None
            if status == OK:
                self._sent += 1
            elif others:
                self._attempt(tuple(others))
                return
            else:
                self._say("WARNING", f"a warm-up request to {route} was answered with {status or 'nothing'}")
            self._next()

        request = post(route, json.dumps(body), self._key)
        # A second more than there is: the timer of all requests says why none is awaited any longer.
        seconds = self._deadline - self._loop.now() + 1
        self._pending = HttpRequest(self._loop, self._address, request, seconds, answered)

    def _time_is_up(self) -> None:
        left = len(self._requests) + 1
        text = f"the engine's warm-up is cut off after {self._warm_up.seconds:g} s (NIM_WARM_UP_TIMEOUT)"
        self._say("WARNING", f"{text}: {left} requests were not answered")
        self._finish(None)

    def _finish(self, text: str | None) -> None:
        self.end()
        if text:
            self._say("INFO", text)
        self._done()


def first_request(model: str) -> tuple[Attempt, ...]:
    """Return the forms of a first request, in the order in which they are tried."""
    said: Body = {"model": model, "max_tokens": TOKENS, "stream": True}
    return (
        (CHAT, said | {"messages": [{"role": "user", "content": "Hello"}]}),
        (COMPLETIONS, said | {"prompt": "Hello"}),
        ("/v1/embeddings", {"model": model, "input": "Hello"}),
        ("/pooling", {"model": model, "input": "Hello"}),
    )


def prefix_request(model: str, prefix: object) -> Attempt:
    """Return a request that leaves a prefix, a prompt or a list of messages, in the engine's prefix cache."""
    if isinstance(prefix, str):
        return COMPLETIONS, {"model": model, "prompt": prefix, "max_tokens": 1}
    return CHAT, {"model": model, "messages": prefix, "max_tokens": 1}
