"""Plans for tests: the real gateway, and the fake engine with a mood."""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from nim.plan import (
    ARGS_FILE,
    ENGINE_SOCKET,
    MANIFEST_FILE,
    ChosenProfile,
    Engine,
    Gateway,
    Model,
    Plan,
    RenderedFile,
)
from nim.render.nginx import nginx_files
from tests.gateway.nginx import free_port

FAKE_ENGINE = Path(__file__).resolve().parents[1] / "fakes" / "engine.py"


def make_plan(directory: Path, *, argv: tuple[str, ...] | None = None, **mood: Any) -> Plan:
    """Return a plan whose run directory is below `directory`; `argv` replaces the engine's program."""
    run_dir = directory / "run"
    own = (sys.executable, str(FAKE_ENGINE), "serve", str(directory), "--uds", str(run_dir / ENGINE_SOCKET))
    engine = Engine(
        name="vllm",
        version="0.32.0",
        argv=argv or own,
        env={"FAKE_ENGINE": json.dumps(mood)},
        unset=(),
        socket=str(run_dir / ENGINE_SOCKET),
        port=None,
    )
    return rendered(
        Plan(
            release="0.1.0",
            run_dir=str(run_dir),
            cache_dir=str(directory / "cache"),
            log_level="DEBUG",
            json_logs=False,
            shutdown_timeout_seconds=4.0,
            model=_model(directory),
            profile=ChosenProfile(id="0" * 64, label="a-label", tags={}, because="it is the only one"),
            engine=engine,
            gateway=_gateway(),
            config={},
        )
    )


def rendered(plan: Plan, *, open_files: int = 4096, **changes: Any) -> Plan:
    """Return the plan with these changes, and the files that follow from them."""
    plan = replace(plan, **changes)
    nginx = nginx_files(
        plan.gateway,
        run_dir=plan.run_dir,
        engine_address=plan.engine.address,
        log_level=plan.log_level,
        json_logs=plan.json_logs,
        open_files=open_files,
    )
    args = "".join(json.dumps(token) + "\n" for token in plan.engine.argv)
    files = {**nginx, ARGS_FILE: args, MANIFEST_FILE: "{}"}
    return replace(plan, files=tuple(RenderedFile(path=path, text=text) for path, text in files.items()))


def _model(directory: Path) -> Model:
    return Model(
        name="a-model",
        served_names=("a-model",),
        source=str(directory),
        path=str(directory),
        license_file=None,
        license_name=None,
        max_model_len=None,
    )


def _gateway() -> Gateway:
    return Gateway(
        server_port=free_port(),
        health_port=None,
        listen_ipv6=False,
        user="root" if os.geteuid() == 0 else None,
        worker_processes=1,
        max_body_size="0",
        read_timeout_seconds=3600,
        send_timeout_seconds=3600,
        keepalive_timeout_seconds=60,
        route_groups=("inference", "docs", "management"),
    )
