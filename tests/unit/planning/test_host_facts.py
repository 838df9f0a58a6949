"""The user, the directories and the network of this service."""

import os

import pytest

from nim.planning.host_facts import look_around, run_directory
from nim.settings import read_settings


@pytest.mark.parametrize(("uid", "warned"), [(0, True), (1000, False)])
def test_who_runs_it_as_root_is_warned(monkeypatch: pytest.MonkeyPatch, uid: int, warned: bool) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    around = look_around(read_settings({}), {"NIM_CACHE_PATH": "/nowhere"})
    assert any("running as root" in warning for warning in around.warnings) == warned


def test_the_run_directory_is_that_of_the_user_and_the_port() -> None:
    assert run_directory(read_settings({"NIM_SERVER_PORT": "81"})) == f"/tmp/nim-{os.geteuid()}-81"
    assert run_directory(read_settings({"NIM_RUN_DIR": "/run/nim"})) == "/run/nim"
