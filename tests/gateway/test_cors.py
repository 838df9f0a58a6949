"""CORS of a real nginx: one rule for every answer, and preflights that reach nothing behind it."""

import asyncio
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from nim.plan import ApiKeys, Cors, Limits, Tls
from nim.planning.read_host_facts import find_lua_modules
from nim.routes import HEALTH, open_routes
from tests.certificates import Authority
from tests.gateway.client import Answer, ask, connected
from tests.gateway.conftest import Build
from tests.gateway.nginx import ALL_GROUPS, free_port, until
from tests.gateway.upstream import END_OF_STREAM, EVENT_STREAM, Received, chunk

PAGE, OTHER_PAGE, FOREIGN = "https://a.test", "https://b.test:8443", "https://evil.test"
LONG = f"https://{'b.' * 100}test"
RULE = Cors(
    origins=(PAGE, OTHER_PAGE, LONG),
    methods=("GET", "POST"),
    headers=("Authorization", "Content-Type"),
    exposed_headers=("X-Request-Id", "Retry-After"),
    max_age_seconds=600,
)
ANY = replace(RULE, origins=("*",), headers=("*",))
LOCAL = replace(RULE, origins=("local",))
NONE = replace(RULE, origins=())
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,x-own"}
ALLOW = "access-control-allow-origin"
ANSWERS_OF_CORS = {
    "allow-origin",
    "allow-credentials",
    "allow-headers",
    "allow-methods",
    "expose-headers",
    "max-age",
}
JSON = {"Content-Type": "application/json"}
WEBSOCKET = {"Connection": "Upgrade", "Upgrade": "websocket"}


def from_page(origin: str, **more: str) -> dict[str, str]:
    """Return the headers of a request that a page of this origin sends."""
    return {"Origin": origin} | {name.replace("_", "-"): value for name, value in more.items()}


def cors_headers(answer: Answer) -> dict[str, str]:
    """Return the headers of an answer that tell a browser about CORS; each must be there once."""
    names = {name for name in answer.names() if name.startswith("access-control-")}
    return {name.removeprefix("access-control-"): answer.header(name) or "" for name in names}


@pytest.mark.parametrize(
    ("rule", "origin", "expected"),
    [
        (ANY, PAGE, "*"),
        (ANY, "null", "*"),
        (RULE, PAGE, PAGE),
        (RULE, OTHER_PAGE, OTHER_PAGE),
        (RULE, LONG, LONG),
        (RULE, "https://b.test", None),
        (RULE, "http://a.test", None),
        (RULE, "https://a.test.evil.test", None),
        (RULE, "https://xa.test", None),
        (RULE, "https://a-test", None),
        (RULE, "https://A.test", None),
        (RULE, "null", None),
        (RULE, "http://localhost", None),
        (NONE, PAGE, None),
        (LOCAL, "http://localhost", "http://localhost"),
        (LOCAL, "https://localhost:8443", "https://localhost:8443"),
        (LOCAL, "http://127.0.0.1:3000", "http://127.0.0.1:3000"),
        (LOCAL, "http://[::1]:5173", "http://[::1]:5173"),
        (LOCAL, "http://127.0.0.2", None),
        (LOCAL, "http://127x0.0.1", None),
        (LOCAL, "http://localhost.evil.test", None),
        (LOCAL, "http://evil.test:80/localhost", None),
        (LOCAL, "http://localhost:80@evil.test", None),
        (LOCAL, "ftp://localhost", None),
        (LOCAL, "null", None),
        (replace(RULE, origins=("local", PAGE)), PAGE, PAGE),
    ],
)
async def test_which_pages_may_read_answers_errors_and_preflights(
    build: Build, rule: Cors, origin: str, expected: str | None
) -> None:
    stack = await build(cors=rule)
    shown = "X-Request-Id, Retry-After" if expected else None
    varies = None if rule in (ANY, NONE) else "Origin"
    for path in ("/v1/models", "/v1/metadata", "/v1/health/live", "/none", "/v1/load_lora_adapter"):
        answer = await stack.ask(path, headers=from_page(origin))
        assert (answer.header(ALLOW), answer.header("vary")) == (expected, varies), path
        assert answer.header("access-control-expose-headers") == shown
        assert "access-control-allow-credentials" not in answer.names()
    preflight = await stack.ask("/v1/models", method="OPTIONS", headers=from_page(origin) | PREFLIGHT)
    assert (preflight.status, preflight.header(ALLOW)) == (204 if expected else 403, expected)


async def test_one_rule_for_every_route_of_both_ports(build: Build) -> None:
    health = free_port()
    stack = await build(cors=RULE, route_groups=ALL_GROUPS, health_port=health)
    for route in open_routes(ALL_GROUPS):
        path = route.path.replace("{response_id}", "resp_1")
        for method in {*route.methods, "HEAD", "OPTIONS", "PUT", "FOO"}:
            for port in (stack.port, health):
                answer = await ask(port, path, method=method, headers=from_page(PAGE) | JSON)
                said = (answer.header(ALLOW), answer.header("vary"))
                assert said == (PAGE, "Origin"), (method, path, port, answer.status)


async def test_without_an_origin_the_answer_still_says_that_it_varies(build: Build) -> None:
    stack = await build(cors=RULE)
    for path in ("/v1/models", "/v1/metadata", "/v1/health/ready", "/none"):
        answer = await stack.ask(path)
        assert (cors_headers(answer), answer.header("vary")) == ({}, "Origin")


@pytest.mark.parametrize("rule", [RULE, ANY, NONE], ids=["named", "any", "none"])
async def test_what_stands_behind_says_nothing_about_it(build: Build, rule: Cors) -> None:
    own = "".join(f"Access-Control-{name.title()}: of the engine\r\n" for name in sorted(ANSWERS_OF_CORS))

    async def answer(request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{own}\r\n{{}}".encode())

    stack = await build(cors=rule)
    stack.engine.answering = stack.middleware.answering = answer
    for path in ("/v1/models", "/v1/metadata"):
        told = cors_headers(await stack.ask(path, headers=from_page(PAGE)))
        assert "of the engine" not in told.values()
        assert set(told) == (set() if rule is NONE else {"allow-origin", "expose-headers"})


@pytest.mark.parametrize(
    "path", ["/v1/chat/completions", "/v1/metadata", *HEALTH, "/none", "/v1/models/", "/sleep"]
)
async def test_a_preflight_is_answered_by_nginx_alone(build: Build, path: str) -> None:
    health = free_port()
    stack = await build(cors=RULE, health_port=health)
    await stack.engine.close()
    for port in (stack.port, health):
        answer = await ask(port, path, method="OPTIONS", headers=from_page(PAGE) | PREFLIGHT)
        assert (answer.status, answer.body, answer.header("allow")) == (204, b"", None)
        assert answer.header("x-request-id")
        assert answer.header("vary") == "Origin"
        assert cors_headers(answer) == {
            "allow-origin": PAGE,
            "allow-methods": "GET, POST",
            "allow-headers": "Authorization, Content-Type",
            "expose-headers": "X-Request-Id, Retry-After",
            "max-age": "600",
        }
    assert stack.engine.received == stack.middleware.received == []


@pytest.mark.parametrize("rule", [RULE, NONE], ids=["named", "none"])
async def test_a_refused_preflight_says_why(build: Build, rule: Cors) -> None:
    stack = await build(cors=rule)
    answer = await stack.ask("/v1/messages", method="OPTIONS", headers=from_page(FOREIGN) | PREFLIGHT)
    assert (answer.status, cors_headers(answer)) == (403, {})
    error = answer.json()["error"]
    assert error["type"] == "permission_error"
    assert "NIM_CORS_ALLOW_ORIGINS names those that may" in error["message"]
    answer = await stack.ask("/v1/models", method="OPTIONS", headers=from_page(FOREIGN) | PREFLIGHT)
    assert answer.json()["error"]["code"] == "origin_not_allowed"
    assert stack.engine.received == []


async def test_any_header_is_the_one_that_is_asked_for(build: Build) -> None:
    stack = await build(cors=ANY)
    asked = {"Access-Control-Request-Method": "PUT"}
    answer = await stack.ask("/v1/models", method="OPTIONS", headers=from_page(PAGE) | asked)
    assert "allow-headers" not in cors_headers(answer)
    answer = await stack.ask("/v1/models", method="OPTIONS", headers=from_page(PAGE) | PREFLIGHT)
    assert cors_headers(answer)["allow-headers"] == "authorization,x-own"


async def test_credentials_only_for_pages_that_are_named(build: Build) -> None:
    stack = await build(cors=replace(RULE, credentials=True))
    for method, more in (("OPTIONS", PREFLIGHT), ("GET", {})):
        allowed = await stack.ask("/v1/models", method=method, headers=from_page(PAGE) | more)
        assert allowed.header("access-control-allow-credentials") == "true"
        refused = await stack.ask("/none", method=method, headers=from_page(FOREIGN) | more)
        assert cors_headers(refused) == {}


@pytest.mark.skipif(not find_lua_modules(), reason="nginx's Lua module is not installed")
async def test_no_key_is_asked_of_a_preflight_and_401_can_be_read(build: Build, tmp_path: Path) -> None:
    (tmp_path / "api_keys").write_text("")
    keys = ApiKeys(file="/unread", from_environment=False, nginx_modules=find_lua_modules())
    stack = await build(cors=RULE, api_keys=keys)
    for path in ("/v1/chat/completions", "/v1/metadata"):
        preflight = await stack.ask(path, method="OPTIONS", headers=from_page(PAGE) | PREFLIGHT)
        assert (preflight.status, preflight.header(ALLOW)) == (204, PAGE)
        refused = await stack.ask(path, headers=from_page(PAGE))
        assert (refused.status, refused.header(ALLOW)) == (401, PAGE)
        assert refused.json()["error"]["code"] == "invalid_api_key"
    assert stack.engine.received == []


async def test_a_page_reads_413_429_and_502(build: Build) -> None:
    going = asyncio.Event()

    async def leave(request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await going.wait()
        raise ConnectionError

    stack = await build(cors=RULE, max_body_size="1k", limits=Limits(requests=1))
    stack.engine.answering = leave
    page = from_page(PAGE) | JSON
    async with asyncio.TaskGroup() as group:
        first = group.create_task(stack.ask("/v1/completions", method="POST", headers=page, body=b"{}"))
        await until(lambda: len(stack.engine.received) == 1)
        limited = await stack.ask("/v1/completions", method="POST", headers=page, body=b"{}")
        large = await stack.ask("/v1/completions", method="POST", headers=page, body=b"x" * 2000)
        going.set()
    said = [(answer.status, answer.header(ALLOW)) for answer in (limited, large, first.result())]
    assert said == [(429, PAGE), (413, PAGE), (502, PAGE)]
    assert limited.header("retry-after")


async def test_a_stream_can_be_read_as_it_arrives(build: Build) -> None:
    read = asyncio.Event()

    async def stream(request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(EVENT_STREAM + chunk(b"data: 1\n\n"))
        await read.wait()
        writer.write(chunk(b"data: 2\n\n") + END_OF_STREAM)

    stack = await build(cors=RULE)
    stack.engine.answering = stream
    async with connected(stack.port) as client:
        await client.request("POST", "/v1/chat/completions", from_page(PAGE) | JSON, b"{}")
        seen = b""
        async for event in client.events("POST"):
            if (headers := getattr(event, "headers", None)) and not seen:
                assert (ALLOW.encode(), PAGE.encode()) in list(headers)
            seen += bytes(getattr(event, "data", b""))
            if seen == b"data: 1\n\n":
                read.set()
    assert seen == b"data: 1\n\ndata: 2\n\n"


NOT_JSON = [
    "text/plain",
    "text/plain; a=application/json",
    "multipart/form-data; boundary=b",
    None,
    "application/jsonx",
]


@pytest.mark.parametrize("content_type", NOT_JSON)
async def test_what_a_foreign_page_could_send_without_a_preflight_is_refused(
    build: Build, content_type: str | None
) -> None:
    stack = await build(cors=RULE, route_groups=ALL_GROUPS)
    kind = {"Content-Type": content_type} if content_type else {}
    for origin, allowed in ((FOREIGN, False), ("null", False), (PAGE, True), ("http://gateway.test", True)):
        for path in ("/v1/chat/completions", "/v1/audio/transcriptions", "/pause", "/v1/responses/r/cancel"):
            stack.engine.received.clear()
            answer = await stack.ask(path, method="POST", headers={"Origin": origin} | kind, body=b"{}")
            assert answer.status == (200 if allowed else 403), (origin, path)
            assert len(stack.engine.received) == allowed
    answer = await stack.ask("/v1/chat/completions", method="POST", headers=kind, body=b"{}")
    assert answer.status == 200


@pytest.mark.parametrize(
    "content_type", ["application/json", "Application/JSON; charset=utf-8", "application/json;"]
)
async def test_json_needs_a_preflight_so_a_proxy_may_pass_an_origin_on(
    build: Build, content_type: str
) -> None:
    stack = await build(cors=RULE)
    headers = from_page(FOREIGN, Content_Type=content_type)
    answer = await stack.ask("/v1/chat/completions", method="POST", headers=headers, body=b"{}")
    assert (answer.status, cors_headers(answer)) == (200, {})


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("nim.test:8000", "http://nim.test:8000", 200),
        ("NIM.test", "https://nim.test", 200),
        ("[::1]:8000", "http://[::1]:8000", 200),
        ("nim.test:8000", "http://nim.test", 403),
        ("nim.test", "http://nim.test.evil.test", 403),
        ("nim.test", "http://evil.test?nim.test", 403),
        ("a.test", "http://aatest", 403),
    ],
)
async def test_a_page_of_the_service_itself_is_known_by_its_host(
    build: Build, host: str, origin: str, status: int
) -> None:
    stack = await build(cors=NONE)
    answer = await stack.ask(
        "/v1/audio/translations", method="POST", headers={"Origin": origin, "Host": host}
    )
    assert answer.status == status


@pytest.mark.parametrize(("site", "status"), [("same-origin", 200), ("same-site", 403), ("cross-site", 403)])
async def test_a_browser_says_that_a_page_is_the_service_s_own(build: Build, site: str, status: int) -> None:
    """Behind a proxy that changes the host. No page can set this header."""
    stack = await build(cors=NONE)
    headers = {"Origin": FOREIGN, "Host": "upstream", "Sec-Fetch-Site": site}
    answer = await stack.ask("/v1/audio/translations", method="POST", headers=headers)
    assert answer.status == status


@pytest.mark.parametrize(("origin", "status"), [(FOREIGN, 403), ("null", 403), (PAGE, 200), (None, 200)])
async def test_a_foreign_page_opens_no_websocket(build: Build, origin: str | None, status: int) -> None:
    stack = await build(cors=RULE)
    headers = WEBSOCKET | ({"Origin": origin} if origin else {})
    assert (await stack.ask("/v1/realtime", headers=headers)).status == status
    assert len(stack.engine.received) == (status == 200)


async def test_any_page_may_send_anything_where_it_is_asked_for(build: Build) -> None:
    stack = await build(cors=ANY)
    assert (await stack.ask("/v1/realtime", headers=WEBSOCKET | from_page(FOREIGN))).status == 200
    sent = from_page("null", Content_Type="text/plain")
    assert (await stack.ask("/v1/completions", method="POST", headers=sent, body=b"{}")).status == 200


async def test_the_preflight_s_location_is_no_route(build: Build) -> None:
    stack = await build(cors=RULE)
    for path in ("/_preflight", "/_preflight/", "//_preflight", "/_error"):
        for headers in ({}, from_page(PAGE) | PREFLIGHT):
            assert (await stack.ask(path, method="OPTIONS", headers=headers)).status == 404


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
@pytest.mark.parametrize("rule", [RULE, NONE], ids=["named", "none"])
async def test_over_tls_with_and_without_client_certificates(
    build: Build, tmp_path: Path, version: str, rule: Cors
) -> None:
    authority = Authority(tmp_path / "tls")
    pair = authority.issue("service")
    tls = Tls(certificates=pair.certificate, key=pair.key, client_authorities=authority.certificate)
    stack = await build(cors=rule, tls=tls, health_port=free_port())
    url = f"https://localhost:{stack.port}/v1/models"
    asked = [f"-H{name}: {value}" for name, value in (from_page(PAGE) | PREFLIGHT).items()]
    base = ["--cacert", authority.certificate, version]
    preflight = await curl(url, *base, "-XOPTIONS", *asked)
    without = await curl(url, *base, f"-HOrigin: {PAGE}")
    assert without.startswith("400 ")
    if rule is NONE:
        assert preflight.startswith("400 ")
    else:
        assert preflight == f"204 {PAGE}"
        assert without == f"400 {PAGE}"
    stranger = Authority(tmp_path / "other").issue("client")
    wrong = ["--cert", stranger.certificate, "--key", stranger.key]
    for how in ([f"-HOrigin: {PAGE}"], ["-XOPTIONS", *asked], []):
        assert (await curl(url, *base, *wrong, *how)).startswith("400 ")
    assert (await curl(url, *base)).startswith("400 ")
    for spelling in ("_preflight", "_error", "v1/models/", "/v1/models", "none"):
        assert (await curl(f"https://localhost:{stack.port}/{spelling}", *base))[:3] in ("400", "404")
    assert stack.engine.received == []
    client = authority.issue("client")
    right = ["--cert", client.certificate, "--key", client.key]
    assert (await curl(url, *base, *right)).startswith("200 ")
    live = f"https://localhost:{stack.nginx.gateway.health_port}/v1/health/live"
    assert (await curl(live, *base)).startswith("200 ")


async def curl(url: str, *more: str) -> str:
    """Return status and allowed origin of one request; the event loop goes on meanwhile."""
    shown = "%{http_code} %header{access-control-allow-origin}"
    command = ["curl", "-s", "-o", "/dev/null", "-w", shown, "--path-as-is", *more, url]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, check=False, timeout=20)
    return done.stdout.decode()
