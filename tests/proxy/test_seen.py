"""What can be seen of a proxy: metrics, its state, the check of a file."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes.launch import wait_until
from tests.in_process import call_nim
from tests.proxy.conftest import Stack

PROMTOOL = Path(sys.prefix) / "bin" / "promtool"


def nim(*arguments: str, **env: str) -> "subprocess.CompletedProcess[str]":
    return call_nim(("proxy", *arguments), env or os.environ)


def test_metrics_count_requests_by_model_and_backend(stack: Stack) -> None:
    for _ in range(3):
        stack.proxy.post("/pooling", {"model": "org/b"})
    stack.proxy.post("/pooling", {"model": "org/none"})
    wanted = b'nim_proxy_requests_total{backend="b",model="org/b",route="/pooling",status="200"} 3.0'
    wait_until(lambda: wanted in stack.proxy.get("/v1/metrics").body, "the count")
    text = stack.proxy.get("/v1/metrics").body
    assert b'nim_proxy_requests_total{backend="",model="",route="/pooling",status="404"} 1.0' in text
    assert b'nim_proxy_refused_total{route="/pooling",status="404"} 1.0' in text
    assert b"org/none" not in text  # what a client makes up is no label
    assert b'nim_proxy_first_byte_seconds_count{backend="b",model="org/b"}' in text
    assert b"nim_proxy_replica_ready" in text
    assert b"nim_proxy_ready 1.0" in text


@pytest.mark.skipif(not PROMTOOL.exists(), reason="promtool is not installed")
def test_promtool_finds_nothing_in_the_metrics(stack: Stack) -> None:
    stack.proxy.chat("org/a")
    text = stack.proxy.get("/v1/metrics").body
    done = subprocess.run([PROMTOOL, "check", "metrics"], input=text, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_status_is_a_table_or_json(stack: Stack) -> None:
    state = stack.proxy.status()
    assert state["ready"] is True
    assert [one["name"] for one in state["backends"]] == ["a", "b", "c"]
    done = nim("status", **stack.proxy.env)
    assert done.returncode == 0
    assert done.stdout.splitlines()[0].split() == [
        "BACKEND",
        "REPLICA",
        "STATE",
        "RUNNING",
        "REQUESTS",
        "MODELS",
    ]
    assert stack.a.url in done.stdout
    assert "not ready: " in done.stdout


def test_status_without_a_proxy_says_where_it_looked(tmp_path: Path) -> None:
    done = nim("status", NIM_RUN_DIR=str(tmp_path), PATH="")
    assert done.returncode == 7
    assert str(tmp_path) in done.stderr


def test_the_check_of_a_good_file_prints_its_backends(tmp_path: Path) -> None:
    file = tmp_path / "backends.yaml"
    file.write_text("backends:\n  - name: a\n    urls: [http://a:8000]\n    aliases: {small: org/a}\n")
    done = nim("--check", str(file))
    assert done.returncode == 0, done.stderr
    assert "small → org/a" in done.stdout


BAD = {
    "backends:\n- name: a\n  url: http://a\n": ("unknown field 'url'", "backends.yaml:3", "write urls"),
    "backends:\n- name: a\n": ("'a' without urls", "backends.yaml:2", "urls: [http://HOST:8000]"),
    "backends:\n- name: a b\n  urls: [http://a]\n": ("'a b'", "backends.yaml:2", "does not match"),
    "backends:\n- {name: a, urls: ['http://u:p@a']}\n": ("no user", "backends.yaml:2", "key_env"),
    "backends:\n- {name: a, urls: ['http://a?x']}\n": ("neither ?", "backends.yaml:2", "http://a?x"),
    "backends:\n- {name: a, urls: ['http://$x/']}\n": ("expected", "backends.yaml:2", "host"),
    "backends:\n- {name: a, urls: ['http://a:99999']}\n": ("99999", "backends.yaml:2", "range"),
    "backends:\n- {name: a, urls: [http://a, http://a/]}\n": ("http://a twice", "backends.yaml:2", "'a'"),
    "backends:\n- {name: a, urls: [http://a], state: gone}\n": ("'gone'", "serving, offline, retired", ":2"),
    "backends:\n- {name: a, urls: [http://a], routing: best}\n": ("'best'", "least, prefix", ":2"),
    "backends:\n- {name: a, state: retired}\n": ("without its models", ":2", "models: [org/name]"),
    "backends:\n- {name: a, urls: [http://a], models: [' x']}\n": ("' x'", ":2", "'a'"),
    "backends:\n- {name: a, urls: [http://a], key_env: NO_SUCH_KEY}\n": (
        "NO_SUCH_KEY",
        "not set",
        "environment",
    ),
    "other: 1\n": ("unknown field 'other'", "backends.yaml:1", "backends"),
    "- a\n": ("not a mapping", "backends.yaml", "begin it with `backends:`"),
}


@pytest.mark.parametrize("text", BAD)
def test_the_check_of_a_bad_file_says_what_and_where(tmp_path: Path, text: str) -> None:
    file = tmp_path / "backends.yaml"
    file.write_text(text)
    done = nim("--check", str(file))
    assert done.returncode in (2, 3), done.stdout
    assert "Traceback" not in done.stderr
    for word in BAD[text]:
        assert word in done.stderr, done.stderr


@pytest.mark.parametrize(
    ("arguments", "word"),
    [((), "without backends"), (("a", "b"), "'b'"), (("--what",), "'--what'"), (("/no",), "/no")],
)
def test_a_wrong_command_says_what_to_type(arguments: tuple[str, ...], word: str) -> None:
    done = nim(*arguments)
    assert done.returncode == 2
    assert word in done.stderr
    assert "hint:" in done.stderr


def test_json_in_the_environment_is_checked_as_well() -> None:
    text = json.dumps([{"name": "a", "urls": ["http://a"], "stat": 1}])
    done = nim("--check", **{**os.environ, "NIM_PROXY_BACKENDS": text})
    assert done.returncode == 3
    assert "NIM_PROXY_BACKENDS:1" in done.stderr
