"""A worker of nginx is killed while streams run through it: what it ran is not counted for ever."""

import os
import signal
from pathlib import Path

from tests.fakes.launch import wait_until
from tests.proxy.conftest import StartBackend, StartProxy, backends, served
from tests.proxy.running import Proxy
from tests.proxy.test_streams import open_stream


def workers(proxy: Proxy) -> list[int]:
    """Return the pids of the workers of nginx that take requests."""
    master = (proxy.run_dir / "nginx.pid").read_text().strip()
    children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
    return [int(pid) for pid in children]


def running(proxy: Proxy) -> dict[str, int]:
    """Return {URL: running requests} of all replicas."""
    return {one["url"]: one["running"] for backend in proxy.backends() for one in backend["replicas"]}


def test_requests_of_a_killed_worker_are_not_counted_for_ever(
    start_backend: StartBackend, start_proxy: StartProxy
) -> None:
    b, other = start_backend("org/b"), start_backend("org/b")
    proxy = start_proxy(backends(served("b", b, other))).wait_ready(2)
    for one in (b, other):
        one.mood.events, one.mood.event_pause = 10_000, 0.05
    streams = [open_stream(proxy) for _ in range(12)]
    wait_until(lambda: running(proxy) == {b.url: 6, other.url: 6}, "the streams")
    for pid in workers(proxy):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: proxy.is_up() and set(running(proxy).values()) == {0}, "no running requests")
    assert "requests unfinished" in proxy.wait_said("a worker of nginx")
    for one in (b, other):
        one.mood.events = 3
    for link, _ in streams:
        link.close()
    # The choice is sound again: with one request at each, the next two are shared.
    for one in (b, other):
        one.received.clear()
    assert {proxy.chat("org/b").json["from"] for _ in range(4)} == {b.label, other.label}
    wait_until(lambda: set(running(proxy).values()) == {0}, "the end of all requests")
    assert proxy.stop() == 0, proxy.text


def test_a_reload_takes_nothing_from_the_counts(start_backend: StartBackend, start_proxy: StartProxy) -> None:
    """A worker that ends by itself has written the end of each of its requests before."""
    a, b, c = start_backend("org/a"), start_backend("org/b"), start_backend("org/c")
    proxy = start_proxy(backends(served("a", a), served("b", b))).wait_ready(2)
    b.mood.events, b.mood.event_pause = 10_000, 0.05
    old = set(workers(proxy))
    link, response = open_stream(proxy)
    proxy.write(backends(served("a", a), served("b", b), served("c", c)))
    wait_until(lambda: set(workers(proxy)) - old, "new workers")
    proxy.wait_ready(3)
    assert running(proxy)[b.url] == 1
    link.close()
    response.close()
    wait_until(lambda: running(proxy)[b.url] == 0, "the end of the stream")
    wait_until(lambda: not set(workers(proxy)) & old, "the end of the old workers")
    assert "unfinished" not in proxy.text
    assert proxy.stop() == 0, proxy.text
