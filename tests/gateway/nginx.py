"""A real nginx in its own run directory, with access to its logs and processes."""

import asyncio
import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from nim.plan import HEALTH_NGINX_FILE, NGINX_FILE, Gateway
from nim.render.nginx import nginx_files

PATIENCE_SECONDS = 20.0
"""How long a condition may take on a busy machine before it counts as false."""

ALL_GROUPS = ("inference", "docs", "management", "adapters", "router", "debug")


def free_port() -> int:
    """Return a TCP port that the kernel says is free."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def gateway_of(**changes: Any) -> Gateway:
    """Return a gateway with generous limits on free ports, changed by keyword arguments."""
    usual = Gateway(
        server_port=free_port(),
        health_port=None,
        listen_ipv6=False,
        user="root" if os.getuid() == 0 else None,
        worker_processes=1,
        max_body_size="0",
        read_timeout_seconds=3600,
        send_timeout_seconds=3600,
        keepalive_timeout_seconds=650,
        route_groups=("inference", "docs", "management"),
    )
    return replace(usual, **changes)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something to become true."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110 - other processes set no event
            await asyncio.sleep(0.005)


@dataclass(slots=True, kw_only=True)
class Nginx:
    """One nginx. `options` are more arguments of render_nginx."""

    run_dir: Path
    gateway: Gateway
    engine_address: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    program: "subprocess.Popen[bytes] | None" = None
    health_program: "subprocess.Popen[bytes] | None" = None

    @property
    def port(self) -> int:
        return self.gateway.server_port

    @property
    def engine_socket(self) -> Path:
        return self.run_dir / "engine.sock"

    @property
    def middleware_socket(self) -> Path:
        return self.run_dir / "middleware.sock"

    def write(self) -> None:
        """Write the run directory as the launcher would, with files instead of pipes."""
        (self.run_dir / "log").mkdir(exist_ok=True)
        usual: dict[str, Any] = {"log_level": "INFO", "json_logs": True, "open_files": 4096}
        address = self.engine_address or f"unix:{self.engine_socket}"
        how = usual | self.options
        files = nginx_files(self.gateway, run_dir=str(self.run_dir), engine_address=address, **how)
        for name, text in files.items():
            (self.run_dir / name).write_text(text, encoding="utf-8")

    def command(self, *more: str, name: str = NGINX_FILE) -> list[str]:
        folder = self.run_dir
        return ["nginx", "-p", f"{folder}", "-c", f"{folder}/{name}", "-e", f"{folder}/log/nginx", *more]

    def test(self, **how: Any) -> str:
        """Return what `nginx -t` has to say beside that all is well: nothing, or it is a failure."""
        said: list[str] = []
        for name in (NGINX_FILE, *([HEALTH_NGINX_FILE] if self.gateway.health_port else [])):
            command = self.command("-t", name=name)
            said += subprocess.run(
                command, capture_output=True, text=True, check=False, **how
            ).stderr.splitlines()
        return "\n".join(line for line in said if not line.endswith((" syntax is ok", " is successful")))

    async def start(self, **how: Any) -> None:
        """Start it and wait until it takes connections."""
        self.write()
        self._spawn(**how)
        async with asyncio.timeout(PATIENCE_SECONDS):
            for port in (self.port, self.gateway.health_port):
                while port and not await self._listens(port):  # noqa: ASYNC110 - nginx sets no event
                    await asyncio.sleep(0.01)

    def _spawn(self, **how: Any) -> None:
        self.program = subprocess.Popen(self.command(), start_new_session=True, **how)
        if self.gateway.health_port:
            command = self.command(name=HEALTH_NGINX_FILE)
            self.health_program = subprocess.Popen(command, start_new_session=True, **how)

    def stop(self) -> None:
        """End all of it, and say what it complained about on the way."""
        programs = [program for program in (self.program, self.health_program) if program]
        self.program = self.health_program = None
        for program in programs:
            program.send_signal(signal.SIGTERM)
        for program in programs:
            try:
                program.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(program.pid, signal.SIGKILL)
                program.wait()
                raise

    def errors(self) -> str:
        return (self.run_dir / "log/nginx").read_text(encoding="utf-8", errors="replace")

    def logged(self) -> list[str]:
        """Return the access log's lines."""
        return (self.run_dir / "log/access").read_text(encoding="utf-8").splitlines()

    async def logged_json(self, count: int) -> list[dict[str, Any]]:
        """Return the access log once it has at least `count` lines: nginx writes after the answer."""
        await until(lambda: len(self.logged()) >= count)
        return [json.loads(line) for line in self.logged()]

    async def _listens(self, port: int) -> bool:
        assert self.program
        assert self.program.poll() is None, self.errors()
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            return False
        writer.close()
        await writer.wait_closed()
        return True
