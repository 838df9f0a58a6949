"""A changed file of backends: what changes, what goes on, and what happens to a file that is broken."""

import json
import threading
from functools import partial

from tests.fakes.launch import wait_until
from tests.proxy.conftest import StartBackend, StartProxy, backends, served
from tests.proxy.running import Proxy
from tests.proxy.test_streams import open_stream

STREAMS = 200


def test_a_new_backend_works_and_no_stream_is_cut(
    start_backend: StartBackend, start_proxy: StartProxy
) -> None:
    a, b, new = start_backend("org/a"), start_backend("org/b"), start_backend("org/new")
    proxy = start_proxy(backends(served("a", a), served("b", b))).wait_ready(2)
    b.mood.events, b.mood.event_pause = 60, 0.1
    streams = [open_stream(proxy) for _ in range(STREAMS)]
    proxy.write(backends(served("a", a), served("b", b), served("new", new)))
    proxy.wait_said("the file of backends has changed: 3 backends")
    wait_until(lambda: proxy.chat("org/new").status == 200, "the new model")
    assert proxy.models() == ["org/a", "org/b", "org/new"]
    texts = [response.read() for _, response in streams]
    assert all(text.endswith(b"data: [DONE]\n\n") and text.count(b"data: ") == 61 for text in texts)
    for link, _ in streams:
        link.close()
    proxy.write(backends(served("b", b), served("new", new)))
    wait_until(lambda: proxy.chat("org/a").status == 404, "the end of the model")
    assert proxy.stop() == 0, proxy.text


def test_no_request_is_lost_while_backends_change(
    start_backend: StartBackend, start_proxy: StartProxy
) -> None:
    a, b, c = start_backend("org/a"), start_backend("org/a"), start_backend("org/c")
    proxy = start_proxy(backends(served("a", a), served("c", c))).wait_ready(2)
    statuses: list[int] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            statuses.append(proxy.chat("org/a").status)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for replicas in ((a, b), (b,), (b, a), (a,)):
        proxy.write(backends(served("a", *replicas), served("c", c)))
        urls = {one.url for one in replicas} | {c.url}
        wait_until(partial(_has, proxy, urls), "the replicas")
    stop.set()
    for thread in threads:
        thread.join()
    assert set(statuses) == {200}
    assert proxy.stop() == 0


def _has(proxy: Proxy, urls: set[str]) -> bool:
    """Return whether exactly these replicas are ready."""
    replicas = (each for one in proxy.backends() for each in one["replicas"])
    return {each["url"] for each in replicas if each["ready"]} == urls


BROKEN = {
    "backends: [": "YAML",
    "backends: 5": "list",
    "": "not a mapping",
    json.dumps({"backends": [{"name": "a", "urls": ["http://x:1"]}] * 2}): "twice",
    json.dumps({"backends": [{"name": "a", "urls": ["ftp://x"]}]}): "expected http",
    json.dumps({"backends": [{"name": "a", "urls": ["http://x"], "key_env": "UNSET_KEY"}]}): "UNSET_KEY",
}


def test_a_broken_file_changes_nothing_and_is_reported(
    start_backend: StartBackend, start_proxy: StartProxy
) -> None:
    a, b = start_backend("org/a"), start_backend("org/b")
    proxy = start_proxy(backends(served("a", a), served("b", b))).wait_ready(2)
    for text, why in BROKEN.items():
        proxy.lines.clear()
        proxy.write(text)
        assert why in proxy.wait_said("the backends stay as they were")
        assert proxy.chat("org/a").status == proxy.chat("org/b").status == 200
    proxy.file.unlink()
    assert "cannot read the backends" in proxy.wait_said("No such file")
    assert proxy.chat("org/a").status == 200
    proxy.write(backends(served("a", a)))
    wait_until(lambda: proxy.models() == ["org/a"], "the repaired file")
    refused = f"nim_proxy_reloads_refused_total {len(BROKEN) + 1}.0"
    assert refused.encode() in proxy.get("/v1/metrics").body
    assert proxy.stop() == 0


def test_offline_and_retired_models_are_not_listed_and_say_what_they_are(
    start_backend: StartBackend, start_proxy: StartProxy
) -> None:
    a = start_backend("org/a")
    off = {"name": "off", "models": ["org/off"], "state": "offline"}
    old = {"name": "old", "models": ["org/old"], "state": "retired"}
    proxy = start_proxy(backends(served("a", a), off, old)).wait_ready(1)
    answer = proxy.chat("org/off")
    assert (answer.status, answer.headers["retry-after"]) == (503, "3600")
    answer = proxy.chat("org/old")
    assert answer.status == 410
    assert answer.json["error"]["type"] == "GoneError"
    assert proxy.models() == ["org/a"]
    assert proxy.get("/v1/models/org/old").status == 404
    assert proxy.stop() == 0


def test_backends_in_the_environment(start_backend: StartBackend, start_proxy: StartProxy) -> None:
    a, b = start_backend("org/a"), start_backend("org/b")
    text = json.dumps([served("a", a), served("b", b)])
    proxy = start_proxy(None, NIM_PROXY_BACKENDS=text).wait_ready(2)
    assert proxy.chat("org/b").json["from"] == b.label
    assert proxy.stop() == 0
