"""A home directory for users without one, and a CPU's share of the machine."""

import os
from dataclasses import replace
from typing import Any

import pytest

from nim.hardware import Hardware
from nim.hardware.types import GIB
from nim.models.generic_manifest import manifest_for_model
from nim.options.cache_dir_variables import COMPILE_CACHES, HOME_CACHES, home_entries, place_entries
from nim.options.cpu_defaults import cpu_compile_entries, cpu_memory_entries
from nim.options.derived_options import HostFacts
from nim.planning.read_host_facts import read_host_facts, run_directory
from nim.selection.fit_types import Wishes
from nim.selection.select import Selection, select
from nim.settings import read_settings
from tests.unit.selection.machines import NOTHING, machine

DEMO = manifest_for_model("/models/some", weights_bytes=2 * GIB)


def around(**home: str) -> HostFacts:
    return read_host_facts(read_settings({"NIM_CACHE_PATH": "/model-store"}), home)


def chosen(hardware: Hardware) -> Selection:
    return select(DEMO, hardware, Wishes())


def sizes(hardware: Hardware, *said: str) -> dict[str, Any]:
    return {entry.name: entry.value for entry in cpu_memory_entries(chosen(hardware), hardware, said)}


def compiling(hardware: Hardware, *, can_compile: bool) -> dict[str, Any]:
    entries = cpu_compile_entries(chosen(hardware), can_compile=can_compile)
    return {entry.name: entry.value for entry in entries}


@pytest.mark.parametrize("home", ["", "/", "/opt/nim"])
def test_who_has_no_home_is_given_one_in_the_cache(home: str) -> None:
    homeless = around(HOME=home)
    assert [entry.value for entry in home_entries(homeless)] == ["/model-store/vllm/home"]
    places = {entry.name: entry.value for entry in place_entries(replace(homeless, has_name=True))}
    assert places.keys() == COMPILE_CACHES.keys() | HOME_CACHES.keys()
    assert all(place.startswith("/model-store/vllm/") for place in places.values())


def test_who_has_one_keeps_it_and_only_compiled_code_is_in_the_cache() -> None:
    at_home = replace(around(HOME="/tmp"), has_name=True)
    assert [*home_entries(at_home)] == []
    assert {entry.name for entry in place_entries(at_home)} == COMPILE_CACHES.keys()


def test_who_has_no_name_is_given_one() -> None:
    nameless = replace(around(HOME="/tmp"), has_name=False)
    places = {entry.name: entry.value for entry in place_entries(nameless)}
    names = {name: place for name, place in places.items() if name not in COMPILE_CACHES}
    assert names == {"USER": "nim", "LOGNAME": "nim"}


@pytest.mark.parametrize(
    ("free", "limit", "cache"),
    [(64, None, "29"), (64, 15, "5"), (8, 15, "1"), (64, 6, "1"), (6, None, "1")],
)
def test_the_cache_is_half_of_what_the_weights_leave(free: int, limit: int | None, cache: str) -> None:
    hardware = replace(
        NOTHING,
        host_memory_available_bytes=free * GIB,
        memory_limit_bytes=limit and limit * GIB,
    )
    assert sizes(hardware) == {"VLLM_CPU_KVCACHE_SPACE": cache}


@pytest.mark.parametrize(
    "said", ["VLLM_CPU_KVCACHE_SPACE", "kv_cache_memory_bytes", "gpu_memory_utilization"]
)
def test_a_size_set_by_the_user_is_kept(said: str) -> None:
    assert sizes(NOTHING, said) == {}


def test_without_a_compiler_nothing_is_compiled() -> None:
    assert compiling(NOTHING, can_compile=False) == {"enforce_eager": True}
    assert compiling(NOTHING, can_compile=True) == {"VLLM_USE_AOT_COMPILE": "0"}
    assert compiling(machine("1xH100"), can_compile=False) == {}


def test_what_is_unknown_is_left_to_the_engine() -> None:
    assert sizes(replace(NOTHING, host_memory_available_bytes=None)) == {}


@pytest.mark.parametrize(("uid", "warned"), [(0, True), (1000, False)])
def test_who_runs_it_as_root_is_warned(monkeypatch: pytest.MonkeyPatch, uid: int, warned: bool) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    host = read_host_facts(read_settings({}), {"NIM_CACHE_PATH": "/nowhere"})
    assert any("running as root" in warning for warning in host.warnings) == warned


def test_the_run_directory_is_that_of_the_user_and_the_port() -> None:
    assert run_directory(read_settings({"NIM_SERVER_PORT": "81"})) == f"/tmp/nim-{os.geteuid()}-81"
    assert run_directory(read_settings({"NIM_RUN_DIR": "/run/nim"})) == "/run/nim"
