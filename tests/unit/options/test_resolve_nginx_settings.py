"""nginx's configuration from settings, machine and engine options."""

import pytest

from nim.errors import SettingsError
from nim.routes import Group
from tests.unit.options.gateways import decided

USUAL = (Group.HEALTH, Group.INFERENCE, Group.DOCS, Group.MANAGEMENT)


def test_the_defaults_are_generous_and_say_nothing() -> None:
    gateway, warnings = decided()
    assert gateway.read_timeout_seconds >= 3600
    assert gateway.send_timeout_seconds >= 3600
    assert gateway.keepalive_timeout_seconds >= 600
    assert (gateway.max_body_size, gateway.connections) == ("100m", 16_384)
    assert gateway.upstream_keepalive_timeout_seconds == 60
    assert (gateway.route_groups, warnings) == (USUAL, ())


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("NIM_PROXY_READ_TIMEOUT", "read_timeout_seconds"),
        ("NIM_PROXY_SEND_TIMEOUT", "send_timeout_seconds"),
        ("NIM_PROXY_HEADER_TIMEOUT", "header_timeout_seconds"),
        ("NIM_PROXY_CLIENT_TIMEOUT", "client_timeout_seconds"),
        ("NIM_PROXY_KEEPALIVE_TIMEOUT", "keepalive_timeout_seconds"),
        ("NIM_PROXY_UPSTREAM_KEEPALIVE_TIMEOUT", "upstream_keepalive_timeout_seconds"),
    ],
)
def test_each_time_is_a_setting(name: str, field: str) -> None:
    assert getattr(decided({name: "20m"})[0], field) == 1200


@pytest.mark.parametrize(("engine_keeps", "ours"), [("5", 2), ("2", 1), ("90", 45), ("7200", 60), (30, 15)])
def test_an_idle_connection_is_left_before_the_engine_closes_it(engine_keeps: object, ours: int) -> None:
    gateway, _ = decided(engine_keeps=engine_keeps)
    assert gateway.upstream_keepalive_timeout_seconds == ours


@pytest.mark.parametrize("engine_keeps", ["1", "0", "-5", "soon", "2.5", ""])
def test_an_engine_that_keeps_nothing_is_refused(engine_keeps: str) -> None:
    with pytest.raises(SettingsError, match="cannot use VLLM_HTTP_TIMEOUT_KEEP_ALIVE"):
        decided(engine_keeps=engine_keeps)


def test_to_keep_connections_as_long_as_the_engine_does_is_refused() -> None:
    with pytest.raises(SettingsError, match="keeps an idle connection for 60 s") as refused:
        decided({"NIM_PROXY_UPSTREAM_KEEPALIVE_TIMEOUT": "31"}, engine_keeps="60")
    assert refused.value.hint == "VLLM_HTTP_TIMEOUT_KEEP_ALIVE=62"
    gateway, _ = decided({"NIM_PROXY_UPSTREAM_KEEPALIVE_TIMEOUT": "30"}, engine_keeps="60")
    assert gateway.upstream_keepalive_timeout_seconds == 30


def test_few_open_files_are_named_and_made_do_with() -> None:
    gateway, [warning] = decided(open_files=1024)
    assert gateway.connections == 640
    assert "1024 open files" in warning
    assert "ulimit -n 26215" in warning
    assert decided(open_files=20_000)[1] == ()


@pytest.mark.parametrize(("environ", "open_files"), [({"NIM_PROXY_CONNECTIONS": "50000"}, 65_535), ({}, 100)])
def test_too_few_open_files_are_refused(environ: dict[str, str], open_files: int) -> None:
    with pytest.raises(SettingsError, match=f"{open_files} open files") as refused:
        decided(environ, open_files=open_files)
    assert "ulimit -n" in str(refused.value.hint)


def test_the_requested_number_of_connections_is_used() -> None:
    assert decided({"NIM_PROXY_CONNECTIONS": "50000"}, open_files=80_000)[0].connections == 50_000
    assert decided({"NIM_PROXY_CONNECTIONS": "1000"}, open_files=65_536)[0].connections == 1000
    assert decided({"NIM_PROXY_CONNECTIONS": "128"}, open_files=65_536)[0].connections == 128
    with pytest.raises(SettingsError, match="expected at least 128"):
        decided({"NIM_PROXY_CONNECTIONS": "127"}, open_files=65_536)


def test_a_health_port_equal_to_the_servers_is_ignored_with_a_warning() -> None:
    gateway, [warning] = decided({"NIM_HEALTH_PORT": "8000"})
    assert gateway.health_port is None
    assert "NIM_HEALTH_PORT '8000' is the API's port" in warning


@pytest.mark.parametrize(
    ("text", "source", "groups"),
    [
        ("inference", False, {Group.HEALTH, Group.INFERENCE}),
        (" Inference , management", False, {Group.HEALTH, Group.INFERENCE, Group.MANAGEMENT}),
        ("health", False, {Group.HEALTH}),
        ("+debug,-docs", False, {*USUAL, Group.DEBUG} - {Group.DOCS}),
        ("+docs", False, {*USUAL}),
        ("", True, {*USUAL}),
        ("+adapters", True, {*USUAL, Group.ADAPTERS}),
        ("-adapters", True, {*USUAL}),
        ("inference", True, {Group.HEALTH, Group.INFERENCE}),
        ("adapters", True, {Group.HEALTH, Group.ADAPTERS}),
        ("-inference,-docs,-management", False, {Group.HEALTH}),
    ],
)
def test_routes_are_switched_by_group(text: str, source: bool, groups: set[Group]) -> None:
    gateway, _ = decided({"NIM_ROUTES": text} | ({"NIM_PEFT_SOURCE": "/adapters"} if source else {}))
    assert set(gateway.route_groups) == groups
    assert list(gateway.route_groups) == [group for group in Group if group in groups]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("inferense", "did you mean inference"),
        ("+debg", "did you mean debug"),
        ("everything", "there is no group everything"),
        ("hidden", "never opened"),
        ("+hidden", "never opened"),
        ("-health", "cannot be closed"),
        ("inference,+debug", "either groups alone"),
        ("+debug,-debug", "each group once"),
        (",", "expected groups of"),
        ("+", "expected a group after +"),
        ("adapters", "NIM_PEFT_SOURCE, which is not set"),
        ("+adapters", "NIM_PEFT_SOURCE, which is not set"),
    ],
)
def test_what_cannot_be_opened_or_closed_is_refused(text: str, expected: str) -> None:
    with pytest.raises(SettingsError, match="cannot use NIM_ROUTES") as refused:
        decided({"NIM_ROUTES": text})
    assert expected in str(refused.value)
    assert refused.value.hint
