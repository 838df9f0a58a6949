"""Read one stream as it arrives: the arrival time of each token event, and merged events."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from statistics import quantiles
from typing import Any

import aiohttp
from multidict import CIMultiDictProxy

from nim.doctor.http_client import ConnectionCut, ServiceClient, reason
from nim.doctor.identify_service import Service
from nim.doctor.measure_event_loop_lag import ClockLag
from nim.errors import PreflightError
from nim.frozen_dataclass import frozen_dataclass

STREAM_SECONDS = 180.0
PROMPT = "Count to one hundred."
LEAST_GAP_SECONDS = 0.001
"""No engine generates tokens of one stream this fast; closer events arrived together."""


@frozen_dataclass
class Stream:
    """`arrivals`: seconds since the request of each token event except the last."""

    version: str
    headers: CIMultiDictProxy[str]
    header_seconds: float
    arrivals: tuple[float, ...]
    seconds: float
    late_seconds: float

    @property
    def gaps(self) -> list[float]:
        """Return the list of seconds between successive events."""
        return [after - before for before, after in pairwise(self.arrivals)]

    @property
    def pieces(self) -> int:
        """Return the number of groups in which the events arrived."""
        mean = self.seconds / len(self.arrivals)
        return 1 + sum(gap >= min(LEAST_GAP_SECONDS, mean / 4) for gap in self.gaps)

    @property
    def merged_share(self) -> float:
        """Return the share, 0 to 1, of events that arrived together with another."""
        return 1 - self.pieces / len(self.arrivals)

    @property
    def late_share(self) -> float:
        """Return the share, 0 to 1, of the stream's time by which this process read late."""
        return min(1.0, self.late_seconds / self.seconds)

    @property
    def unexplained_share(self) -> float:
        """Return the share of merged events minus the share explained by this process reading late."""
        return self.merged_share - self.late_share

    def gap_percentile(self, percent: int) -> float:
        """Return a percentile, 1 to 99, of the gaps between events, in seconds."""
        return quantiles(self.gaps, n=100, method="inclusive")[percent - 1]


class GenerationApi:
    """How this service accepts generation requests, detected by the first one."""

    def __init__(self, client: ServiceClient, service: Service) -> None:
        self.client, self.service = client, service
        self._ways = [(True, True), (True, False), (False, True), (False, False)]

    def request(self, tokens: int, *, stream: bool) -> dict[str, Any]:
        """Return the JSON body, a dict, of a generation request for this many tokens."""
        chat, to_the_end = self._ways[0]
        body: dict[str, Any] = {"model": self.service.model, "max_tokens": tokens, "stream": stream}
        body |= {"messages": [{"role": "user", "content": PROMPT}]} if chat else {"prompt": PROMPT}
        return body | ({"ignore_eos": True} if to_the_end else {})

    @property
    def path(self) -> str:
        """Return the path of the generation route in use: chat completions, or completions."""
        return "/v1/chat/completions" if self._ways[0][0] else "/v1/completions"

    @asynccontextmanager
    async def begun(self, tokens: int) -> AsyncIterator[aiohttp.ClientResponse]:
        """Request a stream, in another form if refused, and yield its response (async context manager)."""
        fields = {**self.client.authorization(), "Accept-Encoding": "gzip, deflate"}
        while True:
            url, body = self.client.target.url(self.path), self.request(tokens, stream=True)
            async with self.client.session.post(
                url, json=body, headers=fields, allow_redirects=False
            ) as answer:
                if answer.status == 200:
                    yield answer
                    answer.close()
                    return
                said = (await answer.read())[:300].decode(errors="replace")
                if answer.status not in (400, 404, 422) or len(self._ways) == 1:
                    message = f"cannot get a stream: POST {self.path} answered {answer.status}: {said}"
                    raise PreflightError(message, hint="nim doctor stream --model NAME")
                self._ways.pop(0)

    async def listen(self, tokens: int) -> Stream:
        """Read a whole stream of this many tokens; return a Stream of arrival times, or ConnectionCut."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(STREAM_SECONDS), ClockLag() as watch, self.begun(tokens) as answer:
                header_seconds = time.monotonic() - began
                arrivals = [at - began async for at in _arrivals(answer)]
        except (aiohttp.ClientError, ConnectionError, TimeoutError) as error:
            raise ConnectionCut(reason(error), time.monotonic() - began) from error
        version = answer.version
        return Stream(
            version=f"{version.major}.{version.minor}" if version else "",
            headers=answer.headers,
            header_seconds=header_seconds,
            arrivals=tuple(arrivals),
            seconds=time.monotonic() - began,
            late_seconds=watch.late_seconds,
        )


async def _arrivals(answer: aiohttp.ClientResponse) -> AsyncIterator[float]:
    """Yield the monotonic time at which each event with a token became complete."""
    rest = b""
    async for data in answer.content.iter_any():
        now = time.monotonic()
        *events, rest = (rest + data).replace(b"\r\n", b"\n").split(b"\n\n")
        for event in events:
            if _has_token(event):
                yield now


def _has_token(event: bytes) -> bool:
    """Return whether an event of a stream carries a token and no finish reason."""
    try:
        choices = json.loads(event.partition(b"data:")[2])["choices"]
        return bool(choices) and choices[0].get("finish_reason") is None
    except (ValueError, LookupError, TypeError, AttributeError):
        return False
