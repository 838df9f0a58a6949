"""Origins, methods and header names, as browsers write them or refused with what to write instead."""

import pytest

from nim.options.parse_cors_words import METHODS, CorsWordError, header_names, method_names, origins_of


@pytest.mark.parametrize(
    ("word", "origin"),
    [
        ("https://app.example", "https://app.example"),
        ("HTTPS://App.Example:8443", "https://app.example:8443"),
        ("https://app.example:443", "https://app.example"),
        ("http://app.example:80", "http://app.example"),
        ("http://app.example:443", "http://app.example:443"),
        ("https://app_1.example", "https://app_1.example"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("http://[0:0:0:0:0:0:0:1]", "http://[::1]"),
        ("http://[2001:DB8::0:1]", "http://[2001:db8::1]"),
        ("chrome-extension://abcdefgh", "chrome-extension://abcdefgh"),
        ("tauri://localhost", "tauri://localhost"),
        ("*", "*"),
        ("local", "local"),
    ],
)
def test_an_origin_is_written_as_browsers_send_it(word: str, origin: str) -> None:
    assert origins_of([word]) == (origin,)


def test_none_is_no_origin_and_the_same_origin_counts_once() -> None:
    assert origins_of(["none"]) == ()
    assert origins_of(["https://a.test", "local", "https://A.test:443"]) == ("https://a.test", "local")


@pytest.mark.parametrize(
    ("word", "reason", "instead"),
    [
        ("https://app.example/", "no path", "https://app.example"),
        ("https://app.example/chat", "no path", "https://app.example"),
        ("https://app.example?a", "no path", "https://app.example"),
        ("app.example", "with its scheme", "https://app.example"),
        ("localhost:3000", "with its scheme", "https://localhost:3000"),
        ("null", "pages without an address", "local"),
        ("https://*.example", "named in full", None),
        ("http://localhost:*", "named in full", None),
        ("https://user:secret@app.example", "no user", None),
        ("https://app.example:65536", "expected scheme://host", None),
        ("https://app.example:port", "expected scheme://host", None),
        ("https://", "expected scheme://host", None),
        ("https://b\u00fccher.example", "xn--", None),
        ("https://a.test\r\nX-Own: 1", "expected scheme://host", None),
        ('https://a.test"', "expected scheme://host", None),
        ("https://a.test;", "expected scheme://host", None),
        ("https://a$host", "expected scheme://host", None),
        ("https://a b", "expected scheme://host", None),
        ("http://[::1", "expected scheme://host", None),
        ("http://[1:2]", "IPv6", None),
        ("https://a.test\n", "expected scheme://host", None),
    ],
)
def test_what_is_no_origin_is_refused_with_the_reason(word: str, reason: str, instead: str | None) -> None:
    with pytest.raises(CorsWordError, match=reason) as refused:
        origins_of(["https://a.test", word])
    assert (refused.value.word, refused.value.instead) == (word, instead)


def test_none_beside_an_origin_is_refused() -> None:
    with pytest.raises(CorsWordError, match="stands alone"):
        origins_of(["none", "https://a.test"])


def test_methods_are_the_gateways_in_upper_case() -> None:
    assert method_names(["get", "Post", "GET"]) == ("GET", "POST")
    assert method_names(["*"]) == method_names(["GET", "*"]) == METHODS
    for word in ("FOO", "TRACE", "CONNECT", "GET POST", "GET\r\nX: y", ""):
        with pytest.raises(CorsWordError, match="expected methods"):
            method_names([word])


def test_header_names_are_tokens() -> None:
    assert header_names(["X-Own", "x_own", "X-Own"]) == ("X-Own", "x_own")
    assert header_names(["X-Own", "*"]) == ("*",)
    for word in ("X Own", "X-Own:", 'X"', "X\r\nY", "$host", "(x)", "\u00e4", ""):
        with pytest.raises(CorsWordError, match="names of headers"):
            header_names([word])
