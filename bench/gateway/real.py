"""Measure the real vLLM through the service, through other proxies, and directly, in turns."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.gateway.figures import DIRECT, NOISE, Sample
from bench.gateway.goals import OURS
from bench.gateway.load import Client, Load
from bench.gateway.native import Programs
from bench.gateway.records import Record
from bench.gateway.requests import Requests, chat
from bench.gateway.running import Target, Upstream, running
from bench.peers import haproxy, nginx_stream
from bench.service import children, free_port, service
from nim.plan import ENGINE_SOCKET

TRANSPORTS = ("unix", "tcp")
BLOCKS = tuple(f"real-{transport}" for transport in TRANSPORTS)
STREAMS = (1, 16, 64, 256)
BESIDE = {
    "unix": (haproxy.HAPROXY_UNIX, nginx_stream.STREAM_UNIX),
    "tcp": (haproxy.HAPROXY, nginx_stream.STREAM),
}
TOKENS = 64
START_SECONDS = 900.0
MODEL = "nim/demo"


def measure_real(programs: Programs, folder: Path, transport: str, *, quick: bool) -> Record:
    """Measure tokens per second and times to and between tokens with the real engine on all cores."""
    record = Record()
    client = Client(programs=programs, cores=None)
    request = Requests(folder).file("real", _question())
    rounds, seconds = (2, 3.0) if quick else (4, 4.0)
    with engine_targets(transport, folder) as targets:
        for turn in range(rounds):
            for count in STREAMS:
                load = Load(
                    request=request, connections=count, warm_seconds=1, seconds=seconds, every_event=True
                )
                for target in _turned(targets, turn):
                    _measure(client, target, load, f"{transport}-{count}", turn, record)
    return record


def _question() -> bytes:
    more = {"max_tokens": TOKENS, "ignore_eos": True, "temperature": 0}
    return chat(stream=True, prompt="Hello! How are you?", model=MODEL, **more)


def _turned(targets: tuple[Target, ...], turn: int) -> tuple[Target, ...]:
    start = turn % len(targets)
    return targets[start:] + targets[:start]


@contextmanager
def engine_targets(transport: str, folder: Path) -> Iterator[tuple[Target, ...]]:
    """Yield the demo model's engine reached directly, by the gateway and the others, and directly again."""
    port = free_port()
    env = {"NIM_BACKEND_PORT": str(port)} if transport == "tcp" else {}
    with service(env) as ours, ExitStack() as stack:
        ours.wait_for("/v1/health/ready", limit=START_SECONDS)
        socket = ours.run_dir / ENGINE_SOCKET
        engine = f"127.0.0.1:{port}" if transport == "tcp" else str(socket)
        nginx = int((ours.run_dir / "nginx.pid").read_text(encoding="ascii"))
        up = Upstream(port=port, socket=socket, pid=ours.process.pid)
        yield (
            Target(name=DIRECT, title="", address=engine),
            Target(name=OURS, title="", address=f"127.0.0.1:{ours.address}", pids=(nginx, *children(nginx))),
            *(
                stack.enter_context(running(peer, up, None, folder, MODEL))
                for peer in BESIDE[transport]
                if not peer.missing()
            ),
            Target(name=NOISE, title="", address=engine),
        )


def _measure(client: Client, target: Target, load: Load, scenario: str, turn: int, record: Record) -> None:
    """Record a sample, or a failure: a small machine may pause for seconds while the engine generates."""
    reading = client.run(target, load)
    if reading.errors or not reading.events:
        what = f"{reading.events} events, {reading.errors} errors {reading.error}"
        record.troubles.append(f"{target.name}, {scenario}, round {turn + 1}: {what}")
        return
    figures = {"events_per_second": reading.events / reading.seconds}
    figures |= reading.quantiles("first") | reading.quantiles("gap")
    if target.pids:
        figures["cpu_us"] = sum(reading.cpu_us) / reading.events
    record.samples.append(
        Sample(block="real", round=turn, scenario=scenario, target=target.name, figures=figures)
    )
