"""The renderer of nginx.conf, including its quoting."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import UndefinedError

from nim.errors import SettingsError
from nim.plan import Gateway
from nim.render.jinja import environment
from nim.render.nginx import render_nginx
from nim.render.nginx_quoting import Verbatim, quote, write

GATEWAY = Gateway(
    server_port=8000,
    health_port=8080,
    listen_ipv6=True,
    user="nim",
    worker_processes=2,
    max_body_size="100m",
    read_timeout_seconds=3600,
    send_timeout_seconds=600,
    keepalive_timeout_seconds=650,
    route_groups=("inference", "docs", "management"),
)
HOW: dict[str, Any] = {
    "run_dir": "/run/nim",
    "engine_address": "unix:/run/nim/engine.sock",
    "log_level": "INFO",
}


def unquoted(word: str) -> str:
    """Return what nginx's own reader makes of a quoted string."""
    assert word[0] == word[-1] == '"'
    text, rest = "", list(word[1:-1])
    while rest:
        character = rest.pop(0)
        assert character != '"', "the string would end here"
        text += rest.pop(0) if character == "\\" and rest[0] in '"\\' else character
    return text


@settings(deadline=None)
@given(st.text(st.characters(exclude_characters="$", exclude_categories=["Cc", "Cs"])))
def test_quoted_text_is_read_back_as_it_was(text: str) -> None:
    assert unquoted(quote(text)) == text


@pytest.mark.parametrize("text", ["$", "a${b}", "a\nb", "a\rb", "\0", "\x7f", "\t"])
def test_what_cannot_be_written_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="cannot write"):
        quote(text)


def test_values_are_written_by_kind() -> None:
    assert [write(value) for value in (8000, True, False, "a;b", Verbatim("= /"))] == [
        "8000",
        "on",
        "off",
        '"a;b"',
        "= /",
    ]
    for value in (None, 1.5, ["a"], {"a": 1}):
        with pytest.raises(TypeError, match="nginx has no word"):
            write(value)


def test_quoting_needs_no_filter_and_nothing_undefined_passes() -> None:
    jinja = environment(write)
    assert jinja.from_string("a {{ x }};").render(x="b; c") == 'a "b; c";'
    assert jinja.from_string("a {{ 'b' ~ x }};\n").render(x=" c") == 'a "b c";\n'
    with pytest.raises(UndefinedError, match="'y' is undefined"):
        jinja.from_string("a {{ y }};").render(x="b")


def test_equal_values_make_equal_text() -> None:
    assert render_nginx(GATEWAY, json_logs=True, **HOW) == render_nginx(GATEWAY, json_logs=True, **HOW)


def test_all_paths_are_in_the_run_directory() -> None:
    text = render_nginx(GATEWAY, json_logs=True, **HOW)
    for name in ("pid", "lock_file", "error_log", "access_log", "client_body_temp_path", "proxy_temp_path"):
        assert f'{name} "/run/nim/' in text
    for name in ("fastcgi_temp_path", "uwsgi_temp_path", "scgi_temp_path", "root"):
        assert f'{name} "/run/nim' in text


@pytest.mark.parametrize("group", ["hidden", "everything", ""])
def test_a_group_that_cannot_be_opened_is_refused(group: str) -> None:
    with pytest.raises(SettingsError, match="cannot open the route group"):
        render_nginx(replace(GATEWAY, route_groups=(group,)), json_logs=True, **HOW)


@pytest.mark.parametrize(("open_files", "connections"), [(1024, 640), (65_536, 16_384), (1_048_576, 16_384)])
def test_connections_fit_the_limit_on_open_files(open_files: int, connections: int) -> None:
    text = render_nginx(GATEWAY, json_logs=True, open_files=open_files, **HOW)
    assert f"worker_connections {connections};" in text
