"""`nim doctor stream` without a service to examine: an immediate error with what to type."""

from pathlib import Path
from typing import Any

import pytest

from tests.doctor.conftest import Doctor
from tests.doctor.proxies import nginx
from tests.fakes.launch import launch
from tests.gateway.nginx import free_port


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--url=localhost:8000"], ["localhost:8000", "hint: nim doctor stream --url http://localhost:8000"]),
        (["--url=ftp://host"], ["ftp://host", "allowed here: http://HOST"]),
        (["--url=http://"], ["it is no address of a service"]),
        (["--url=http://host:no"], ["http://host:no"]),
        (["--url=http://me:secret@host"], ["it holds a password", "VLLM_API_KEY"]),
        (["--url=http://host", "--idle=0"], ["--idle '0'", "seconds"]),
        (["--url=http://host", "--max-body=-1"], ["--max-body '-1'", "MB"]),
        ([], ["--url"]),
    ],
    ids=str,
)
def test_a_bad_argument(doctor: Doctor, flags: list[str], said: list[str]) -> None:
    report = doctor(None, *flags)
    assert report.code == 2
    assert not report.out
    assert all(part in report.err for part in said), report.err
    assert "secret" not in report.err


def test_a_closed_port_is_reported(doctor: Doctor) -> None:
    port = free_port()
    report = doctor(port)
    assert report.code == 7
    assert f"cannot reach http://127.0.0.1:{port}: Connection refused" in report.err
    assert "hint: curl" in report.err


def test_no_such_host(doctor: Doctor) -> None:
    report = doctor(None, "--url=http://nothing.invalid")
    assert report.code == 7
    assert "cannot reach http://nothing.invalid: " in report.err


def test_tls_to_one_that_speaks_none(doctor: Doctor, port: int) -> None:
    report = doctor(None, f"--url=https://127.0.0.1:{port}")
    assert report.code == 7
    assert f"cannot reach https://127.0.0.1:{port}: no TLS: " in report.err
    assert f"hint: nim doctor stream --url http://127.0.0.1:{port}" in report.err


@pytest.mark.slow
def test_a_certificate_that_is_not_trusted(doctor: Doctor, port: int, tmp_path: Path) -> None:
    with nginx(tmp_path, port, tls=True) as front:
        refused = doctor(None, f"--url=https://127.0.0.1:{front}")
        trusted = {"SSL_CERT_FILE": str(tmp_path / "certificate.pem")}
        taken = doctor(None, f"--url=https://127.0.0.1:{front}", "--idle=1", "--max-body=1", **trusted)
    assert refused.code == 7
    assert "its certificate is not trusted" in refused.err
    assert "hint: SSL_CERT_FILE=" in refused.err
    assert taken.verdicts["events"] == taken.verdicts["keep-alive"] == "ok", taken.err


def test_no_service_of_this_kind(doctor: Doctor, port: int, tmp_path: Path) -> None:
    with nginx(tmp_path, port, "return 200 hello;") as front:
        report = doctor(front)
    assert report.code == 7
    assert "GET /v1/models answered 200 text/plain: no OpenAI-compatible service" in report.err


def test_another_address(doctor: Doctor, port: int, tmp_path: Path) -> None:
    with nginx(tmp_path, port, "return 301 https://elsewhere.test$request_uri;") as front:
        report = doctor(front)
    assert report.code == 2
    assert "hint: nim doctor stream --url https://elsewhere.test" in report.err


def test_a_service_that_is_not_ready(doctor: Doctor, tmp_path: Path) -> None:
    with nginx(tmp_path, free_port()) as front:
        report = doctor(front)
    assert report.code == 7
    assert "502" in report.err
    assert "/v1/health/ready" in report.err


def test_a_model_that_it_does_not_have(doctor: Doctor, port: int) -> None:
    report = doctor(port, "--model=nobody")
    assert report.code == 2
    assert "cannot use --model 'nobody'" in report.err


def test_the_key_comes_from_the_environment_and_is_not_shown(doctor: Doctor, tmp_path: Path) -> None:
    mood: dict[str, Any] = {"tokens": 200, "interval_ms": 5}
    with launch(tmp_path, port=free_port(), env={"VLLM_API_KEY": "planted"}, **mood) as engine:
        engine.wait_ready()
        assert isinstance(engine.address, int)
        without = doctor(engine.address)
        wrong = doctor(engine.address, VLLM_API_KEY="other")
        file = tmp_path / "key"
        file.write_text("planted\n", encoding="utf-8")
        right = doctor(engine.address, "--idle=1", "--max-body=1", VLLM_API_KEY_FILE=str(file))
    assert (without.code, wrong.code) == (2, 2)
    assert "it asks for a key" in without.err
    assert "hint: VLLM_API_KEY=" in without.err
    assert "the key is not taken, or lost on the way" in wrong.err
    assert right.verdicts["authorization"] == "ok", right.err
    assert "planted" not in right.out + right.err
    assert "other" not in wrong.err


@pytest.mark.slow
def test_below_a_prefix_and_by_the_url_of_a_client(doctor: Doctor, port: int, tmp_path: Path) -> None:
    with nginx(tmp_path, port, "rewrite ^/models/one/(.*) /$1 break;") as front:
        report = doctor(None, f"--url=http://127.0.0.1:{front}/models/one/v1", "--idle=1", "--max-body=1")
    assert report.verdicts["events"] == report.verdicts["health"] == report.verdicts["keep-alive"] == "ok"
