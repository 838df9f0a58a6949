"""Parsers of log lines: level and message, and what is routine."""

import pytest

from nim.logging.log_line_parsers import (
    EngineLines,
    Record,
    is_routine,
    is_timeout_of_client,
    read_access,
    read_middleware,
    read_nginx,
)


@pytest.mark.parametrize(
    ("line", "level", "message"),
    [
        ("(Core pid=1) INFO 11-21 07:42:56 [a.py:733] x", "INFO", "(Core pid=1) [a.py:733] x"),
        ("(Worker_TP0 pid=3) WARNING 11-21 07:42:56 [a.py:1] x", "WARNING", "(Worker_TP0 pid=3) [a.py:1] x"),
        ("\x1b[0;36m(A pid=2)\x1b[0;0m ERROR 11-21 07:42:56 [a.py:1] x", "ERROR", "(A pid=2) [a.py:1] x"),
        ("INFO:     Application startup complete.", "INFO", "Application startup complete."),
        ("ERROR:    Exception in ASGI application", "ERROR", "Exception in ASGI application"),
        ("[W1121 07:43:15.676103480 a.cpp:68] NUMA", "WARNING", "[W1121 07:43:15.676103480 a.cpp:68] NUMA"),
        ("E1121 07:43:15.676103 123 x.cc:68] bad", "ERROR", "E1121 07:43:15.676103 123 x.cc:68] bad"),
        ("/opt/a.py:138: FutureWarning: deprecated", "WARNING", "/opt/a.py:138: FutureWarning: deprecated"),
        ("NOTE: whatever", "INFO", "NOTE: whatever"),
        ("anything at all", "INFO", "anything at all"),
    ],
)
def test_lines_of_the_engine(line: str, level: str, message: str) -> None:
    record = EngineLines().read(line)
    assert (record.level, record.message) == (level, message)


@pytest.mark.parametrize("query", ["?api_key=secret", '?a="secret",b=secret', "?secret?secret/secret"])
def test_queries_and_referrers_are_not_in_the_log_of_nginx(query: str) -> None:
    line = (
        "2026/11/28 03:00:00 [error] 5#5: *7 connect() to unix:/r/engine.sock failed (111: Refused) "
        "while connecting to upstream, client: 127.0.0.1, server: localhost, "
        f'request: "GET /v1/models{query} HTTP/1.1", '
        f'upstream: "http://unix:/r/engine.sock:/v1/models{query}", host: "localhost:8000", '
        f'referrer: "http://a.example/x{query}"'
    )
    message = read_nginx(line).message
    assert "secret" not in message
    assert (
        'request: "GET /v1/models HTTP/1.1", upstream: "http://unix:/r/engine.sock:/v1/models", host'
        in message
    )
    cut_off = line[: line.index("secret") + 3]
    assert "sec" not in read_nginx(cut_off).message


@pytest.mark.timeout(10)
def test_a_long_line_of_anything_is_read_in_no_time() -> None:
    lines = EngineLines()
    for piece in ("(", "(a pid=", "x", "(a pid=1) "):
        assert lines.read(piece * (32_768 // len(piece))).level == "INFO"


def test_a_traceback_is_an_error_down_to_its_exception() -> None:
    lines = EngineLines()
    text = (
        'Traceback (most recent call last):\n  File "a.py", line 1, in b\n    c()\nRuntimeError: d\nand then'
    )
    assert [lines.read(line).level for line in text.splitlines()] == ["ERROR"] * 4 + ["INFO"]


@pytest.mark.parametrize(
    ("line", "level", "message"),
    [
        ("2025/11/21 07:00:00 [error] 12#13: *4 upstream", "ERROR", "12#13: *4 upstream"),
        ("2025/11/21 07:00:00 [warn] 12#12: low", "WARNING", "12#12: low"),
        ("2025/11/21 07:00:00 [crit] 12#12: *1 connect()", "ERROR", "12#12: *1 connect()"),
        ("2025/11/21 07:00:00 [alert] 12#12: worker exited", "CRITICAL", "12#12: worker exited"),
        ("nginx: [emerg] bind() to 0.0.0.0:80 failed", "CRITICAL", "bind() to 0.0.0.0:80 failed"),
        ("2025/11/21 07:00:00 [warn] 1#1: *4 a client request body is buffered to a temporary file /x",
         "DEBUG", "1#1: *4 a client request body is buffered to a temporary file /x"),
        ("2025/11/21 07:00:00 [error] 12#13: *4 client intended to send too large body: 9 bytes",
         "INFO", "12#13: *4 client intended to send too large body: 9 bytes"),
        ("something else", "ERROR", "something else"),
    ],
)  # fmt: skip
def test_lines_of_nginx(line: str, level: str, message: str) -> None:
    record = read_nginx(line)
    assert (record.level, record.message) == (level, message)


def test_lines_of_the_middleware() -> None:
    record = read_middleware("WARNING nim.middleware.gpu_usage: no NVML")
    assert (record.level, record.message) == ("WARNING", "nim.middleware.gpu_usage: no NVML")
    assert read_middleware("ModuleNotFoundError: No module named 'aiohttp'").level == "ERROR"


def test_the_level_of_an_access_record_in_both_forms() -> None:
    assert (
        read_access('{"time":"2025-11-21T07:00:00.123+00:00","level":"WARNING","component":"gateway"}').level
        == "WARNING"
    )
    assert read_access("INFO 2025-11-21 07:00:00.123 gateway] GET /v1/models 200").level == "INFO"
    assert read_access("?").level == "INFO"


@pytest.mark.parametrize(
    ("level", "message", "routine"),
    [
        ("INFO", "(APIServer pid=1) [model.py:9] Using max model len 2048", True),
        ("WARNING", "(APIServer pid=1) [vllm.py:1703] Enforce eager set, disabling torch.compile", True),
        ("WARNING", "(APIServer pid=1) [cpu.py:224] Triton is not installed. triton-cpu is expected", True),
        (
            "WARNING",
            "(APIServer pid=1) [system_utils.py:255] Found ulimit of 1024 and failed",
            False,
        ),
        ("ERROR", "(EngineCore pid=2) Enforce eager set, disabling torch.compile", False),
    ],
)
def test_routine_records_of_a_start(level: str, message: str, routine: bool) -> None:
    assert is_routine(Record(level=level, message=message)) == routine


@pytest.mark.parametrize(
    ("line", "is_timeout"),
    [
        ("INFO 2026-11-28 12:00:00.123 gateway] - 408 0 bytes 60.001 s (first byte - s) client=::1", True),
        ("INFO 2026-11-28 12:00:00.123 gateway] POST /v1/responses 408 0 bytes 60.001 s", True),
        ("INFO 2026-11-28 12:00:00.123 gateway] GET /gateway]%20-%20408 200 408 bytes 0.1 s", False),
        ("INFO 2026-11-28 12:00:00.123 gateway] GET /v1/models 200 408 bytes 408 s", False),
        ('{"level":"INFO","message":"POST /v1/responses","request_id":"1","status":408,"bytes":0}', True),
        ('{"level":"INFO","message":"GET /","status":200,"user_agent":"a\\"status\\":408,"}', False),
    ],
)
def test_requests_that_did_not_arrive_in_time(line: str, is_timeout: bool) -> None:
    assert is_timeout_of_client(line) is is_timeout
