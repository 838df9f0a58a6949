"""One real service with the fake engine at a measurable pace, for all tests here."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.process.conftest import end
from tests.process.plans import make_plan
from tests.process.service import Service

DOCTOR_SECONDS = 240
PACE: dict[str, Any] = {"tokens": 4000, "interval_ms": 25}


@dataclass(frozen=True, kw_only=True)
class Report:
    """What the doctor said."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)

    @property
    def verdicts(self) -> Mapping[str, str]:
        return {check["check"]: check["verdict"] for check in self.data["checks"]}

    @property
    def bad(self) -> Mapping[str, str]:
        return {check: verdict for check, verdict in self.verdicts.items() if verdict in ("warn", "FAIL")}

    def of(self, check: str) -> Any:
        return next(found for found in self.data["checks"] if found["check"] == check)

    def seen(self, check: str) -> str:
        return str(self.of(check)["seen"])

    def facts(self, check: str) -> Any:
        return self.of(check)["facts"]


Doctor = Callable[..., Report]


@pytest.fixture(scope="session")
def doctor() -> Doctor:
    """Return a function that runs `nim doctor stream` on a port, or with `--url` among the flags."""

    def run(port: int | None, *flags: str, as_json: bool = True, **env: str) -> Report:
        where = [f"--url=http://127.0.0.1:{port}"] if port else []
        command = [sys.executable, "-m", "nim", "doctor", "stream", *where, *flags]
        done = subprocess.run(
            [*command, "--json"] if as_json else command,
            env={**os.environ, **env},
            capture_output=True,
            text=True,
            timeout=DOCTOR_SECONDS,
            check=False,
        )
        return Report(code=done.returncode, out=done.stdout, err=done.stderr)

    return run


@pytest.fixture(scope="session")
def service() -> Iterator[Service]:
    """Yield a service with real nginx, supervisord and middleware."""
    with tempfile.TemporaryDirectory(prefix="nim-") as path:
        started = Service(make_plan(Path(path), **PACE), Path(path))
        try:
            yield started.wait_ready()
            started.stop()
        finally:
            end(started)


@pytest.fixture
def port(service: Service) -> int:
    return service.plan.gateway.server_port
