"""Each measured variant of the gateway's configuration differs from today's configuration."""

import os
import subprocess

import pytest

from bench.gateway.tune import VARIANTS, Outdated, Variant
from bench.peers.gateway import nginx_conf
from bench.peers.peer import Site
from bench.service import free_port

pytestmark = pytest.mark.skipif(os.cpu_count() == 1, reason="nothing is measured on one core")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    folder = tmp_path_factory.mktemp("tune")
    (folder / "log").mkdir()
    return Site(directory=folder, port=free_port(), upstream_port=1, upstream_socket=folder / "up.sock")


@pytest.fixture(scope="module")
def conf(site: Site) -> str:
    """Return what the launcher writes."""
    return nginx_conf(site, tcp=False)


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_each_variant_changes_what_the_launcher_writes(site: Site, conf: str, variant: Variant) -> None:
    changed = variant.apply(conf)
    assert (changed != conf) == bool(variant.changes)
    written = site.write("nginx.conf", changed)
    command = ["nginx", "-t", "-p", str(site.directory), "-c", written, "-e", site.write("errors", "")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_variant_of_something_that_is_gone_is_told(conf: str) -> None:
    with pytest.raises(Outdated, match="nothing in the configuration matches"):
        Variant("old", (("no such line", ""),)).apply(conf)
