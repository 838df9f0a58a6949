"""The hub client's variables: unusable values, and the proxy in use."""

from pathlib import Path

import pytest

from nim.models.hub.check_connection_variables import Proxy, hub_problems, proxy_for

PASSWORD = "planted-password"


@pytest.mark.parametrize(
    ("value", "why", "hint"),
    [
        ("hf-mirror.com", "it has no scheme", "https://hf-mirror.com"),
        ("hf-mirror.com/", "it has no scheme", "https://hf-mirror.com/"),
        ("//hf-mirror.com", "it has no scheme", "https://hf-mirror.com"),
        ("localhost:8080", "it has no scheme", "https://localhost:8080"),
        ("'https://hf-mirror.com'", "quotes or blanks are around it", "https://hf-mirror.com"),
        (" https://hf-mirror.com\n", "quotes or blanks are around it", "https://hf-mirror.com"),
        ("hf://hf-mirror.com", "not by hf", "https://hf-mirror.com"),
        ("https://", "it names no host", "https://huggingface.co"),
        ("https://host:port", "it names no host", "https://huggingface.co"),
        (" ", "it is blank", "https://huggingface.co"),
        (f"me:{PASSWORD}@mirror", "it has no scheme", "https://mirror"),
    ],
)
def test_an_endpoint_that_is_no_address(value: str, why: str, hint: str) -> None:
    (problem,) = hub_problems({"HF_ENDPOINT": value})
    assert problem.message.startswith("cannot use HF_ENDPOINT ")
    assert why in problem.message
    assert problem.hint == f"HF_ENDPOINT={hint}"
    assert PASSWORD not in str(problem)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "https://huggingface.co",
        "https://huggingface.co/",
        "http://127.0.0.1:8080",
        "https://host/artifactory/api/hf",
    ],
)
def test_an_endpoint_that_is_one(value: str) -> None:
    assert list(hub_problems({"HF_ENDPOINT": value})) == []


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "http_proxy", "ALL_PROXY"])
@pytest.mark.parametrize(
    ("value", "why"),
    [
        (f"htp://me:{PASSWORD}@proxy:3128", "a proxy of the kind htp is not known"),
        ("http://proxy:PORT", "a port that is no number"),
        ("http://", "it names no host"),
        (f"'http://me:{PASSWORD}@proxy:3128'", "quotes or blanks are around it"),
    ],
)
def test_a_proxy_that_is_no_address(name: str, value: str, why: str) -> None:
    (problem,) = hub_problems({name: value})
    assert problem.message.startswith(f"cannot use {name} ")
    assert why in problem.message
    assert PASSWORD not in str(problem)


@pytest.mark.parametrize("value", ["http://proxy:3128", "proxy:3128", "https://proxy", "http://me:x@proxy:1"])
def test_a_proxy_that_is_one(value: str) -> None:
    assert list(hub_problems({"HTTPS_PROXY": value})) == []


def test_certificates_that_are_not_there(tmp_path: Path) -> None:
    (problem,) = hub_problems({"SSL_CERT_FILE": "/nonexistent.pem"})
    assert (
        "SSL_CERT_FILE '/nonexistent.pem' (from the environment): no such file or directory"
        in problem.message
    )
    (tmp_path / "x.der").write_bytes(b"\x30\x82")
    (problem,) = hub_problems({"SSL_CERT_FILE": str(tmp_path / "x.der")})
    assert "no certificate is in it" in problem.message
    (problem,) = hub_problems({"SSL_CERT_FILE": str(tmp_path)})
    assert "is a directory" in problem.message
    (problem,) = hub_problems({"SSL_CERT_DIR": "/nonexistent"})
    assert "SSL_CERT_DIR '/nonexistent'" in problem.message
    (tmp_path / "x.pem").write_bytes(b"-----BEGIN CERTIFICATE-----\n")
    assert (
        list(hub_problems({"SSL_CERT_FILE": str(tmp_path / "x.pem"), "SSL_CERT_DIR": "/nonexistent"})) == []
    )


@pytest.mark.parametrize(
    ("environ", "variable"),
    [
        ({"HTTPS_PROXY": "http://p:1"}, "HTTPS_PROXY"),
        ({"https_proxy": "p:1", "HTTPS_PROXY": "http://other:1"}, "https_proxy"),
        ({"ALL_PROXY": "http://p:1"}, "ALL_PROXY"),
        ({"HTTP_PROXY": "http://p:1"}, None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "huggingface.co"}, None),
        ({"HTTPS_PROXY": "http://p:1", "no_proxy": "a.b, .co"}, None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "face.co"}, "HTTPS_PROXY"),
        ({}, None),
    ],
)
def test_which_proxy_is_asked(environ: dict[str, str], variable: str | None) -> None:
    expected = Proxy(variable=variable, address="http://p:1", has_user=False) if variable else None
    assert proxy_for("https://huggingface.co", environ) == expected


def test_a_proxys_user_is_not_shown() -> None:
    proxy = proxy_for("http://host", {"HTTP_PROXY": f"http://me:{PASSWORD}@p:1"})
    assert proxy == Proxy(variable="HTTP_PROXY", address="http://p:1", has_user=True)
