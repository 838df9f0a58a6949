"""What is measured of keys, limits and TLS does what it says: both proxies refuse a wrong key."""

import http.client
import shutil
from pathlib import Path

import pytest

from bench.gateway.checks import Bench
from bench.gateway.cores import Cores
from bench.gateway.running import running
from bench.peers import access
from bench.peers.peer import KEY
from nim.planning.read_host_facts import find_lua_modules

pytestmark = [
    pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler"),
    pytest.mark.skipif(not find_lua_modules(), reason="nginx's Lua module is not installed"),
]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> access.Pair:
    return access.certificate(tmp_path_factory.mktemp("tls"))


@pytest.mark.parametrize("variant", access.VARIANTS)
@pytest.mark.parametrize("proxy", ["gateway", "haproxy"])
def test_a_variant_asks_for_what_its_name_says(
    bench: Bench, cores: Cores, pair: access.Pair, proxy: str, variant: str
) -> None:
    [peer] = [peer for peer in access.peers(pair) if peer.name == f"{proxy}-{variant}"]
    if missing := peer.missing():
        pytest.skip(f"{proxy}: {missing}")
    assert (peer.context is not None) == (variant in ("tls", "all"))
    with running(peer, bench.up, cores, Path(bench.requests.folder)) as target:  # it has answered a right key
        host, _, port = target.address.rpartition(":")
        link = (
            http.client.HTTPSConnection(host, int(port), timeout=10, context=peer.context)
            if peer.context
            else http.client.HTTPConnection(host, int(port), timeout=10)
        )
        wanted = 401 if variant in ("keys", "limits", "all") else 200
        for key in (f"{KEY}x", KEY):
            link.request("POST", "/v1/chat/completions", b"{}", {"Authorization": f"Bearer {key}"})
            answer = link.getresponse()
            answer.read()
            assert answer.status == (200 if key == KEY else wanted)
        link.close()
