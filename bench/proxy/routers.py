"""The routers, each before the same four mock backends: `a` and `b`, two replicas each."""

import json
import os
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.gateway.running import _process, listens
from bench.peers.litellm import PACKAGE as LITELLM
from bench.peers.peer import KEY
from bench.peers.place import Packages
from bench.peers.rust_routers import SGLANG, VLLM
from bench.service import children, free_port

START_SECONDS = 60.0
Replicas = Mapping[str, Sequence[int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """What to start, and what to do once it listens."""

    argv: Sequence[str]
    port: int
    env: Mapping[str, str] = field(default_factory=dict)
    then: Callable[[], None] = lambda: None


@dataclass(frozen=True, slots=True, kw_only=True)
class Router:
    """One router. `models`: it chooses by model; else it has one model only."""

    name: str
    start: Callable[[Path, Replicas], Started]
    packages: Packages | None = None
    models: bool = True


def nim_proxy(folder: Path, replicas: Replicas, routing: str = "least") -> Started:
    """Return the command of this project's proxy."""
    port, file = free_port(), folder / "backends.json"
    entries = [
        {
            "name": model,
            "models": [model],
            "routing": routing,
            "urls": [f"http://127.0.0.1:{one}" for one in ports],
        }
        for model, ports in replicas.items()
    ]
    file.write_text(json.dumps({"backends": entries}))
    env = {"NIM_SERVER_PORT": str(port), "NIM_HEALTH_PORT": str(port), "NIM_RUN_DIR": str(folder / "run")}
    env |= {"NIM_PROXY_CLIENT_MAX_BODY_SIZE": "500m"}
    return Started(argv=[sys.executable, "-m", "nim", "proxy", str(file)], port=port, env=env)


def nim_prefix(folder: Path, replicas: Replicas) -> Started:
    """Return the command of this project's proxy, with replicas chosen by prefix."""
    return nim_proxy(folder, replicas, "prefix")


def vllm_router(_: Path, replicas: Replicas) -> Started:
    """Return the command of vLLM's router before the replicas of one model: it knows no others."""
    return _rust(VLLM, "vllm_router.launch_router", replicas["a"])


def _rust(packages: Packages, module: str, ports: Sequence[int]) -> Started:
    port = free_port()
    urls = [f"http://127.0.0.1:{one}" for one in ports]
    argv = [str(packages.path("bin/python")), "-m", module, "--worker-urls", *urls]
    argv += ["--host", "127.0.0.1", "--port", str(port), "--policy", "round_robin", "--log-level", "error"]
    argv += ["--prometheus-host", "127.0.0.1", "--prometheus-port", str(free_port())]
    argv += ["--max-concurrent-requests", "20000", "--disable-circuit-breaker"]
    return Started(argv=argv, port=port)


def sglang_router(_: Path, replicas: Replicas) -> Started:
    """Return the command of SGLang's gateway, which gets its workers with their models by its own API."""
    port = free_port()
    argv = [str(SGLANG.path("bin/python")), "-m", "sglang_router.launch_router", "--enable-igw"]
    argv += ["--host", "127.0.0.1", "--port", str(port), "--policy", "round_robin", "--log-level", "error"]
    argv += ["--prometheus-host", "127.0.0.1", "--prometheus-port", str(free_port())]
    argv += ["--max-concurrent-requests", "20000", "--disable-circuit-breaker"]

    def add_workers() -> None:
        """Register each replica with its model."""
        for model, ports in replicas.items():
            for one in ports:
                word = {"url": f"http://127.0.0.1:{one}", "model_id": model, "runtime": "vllm"}
                _post(f"http://127.0.0.1:{port}/workers", word)

    return Started(argv=argv, port=port, then=add_workers)


def litellm(folder: Path, replicas: Replicas) -> Started:
    """Return the command of LiteLLM's proxy with one process."""
    port, file = free_port(), folder / "litellm.yaml"
    listed = [
        {
            "model_name": model,
            "litellm_params": {
                "model": f"hosted_vllm/{model}",
                "api_base": f"http://127.0.0.1:{one}/v1",
                "api_key": KEY,
            },
        }
        for model, ports in replicas.items()
        for one in ports
    ]
    word = {
        "model_list": listed,
        "general_settings": {"master_key": KEY},
        "router_settings": {"routing_strategy": "least-busy"},
        "litellm_settings": {"telemetry": False, "request_timeout": 14400},
    }
    file.write_text(json.dumps(word))
    argv = [
        str(LITELLM.path("bin/litellm")),
        "--config",
        str(file),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    env = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "DO_NOT_TRACK": "1"}
    return Started(argv=[*argv, "--num_workers", "1"], port=port, env=env)


def _post(url: str, word: object) -> None:
    data = json.dumps(word).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        answer.read()


ROUTERS = (
    Router(name="nim proxy", start=nim_proxy),
    Router(name="nim proxy, prefix", start=nim_prefix),
    Router(name="sglang-router 0.3.2", start=sglang_router, packages=SGLANG),
    Router(name="vllm-router 0.1.17", start=vllm_router, packages=VLLM, models=False),
    Router(name="LiteLLM 1.106.2", start=litellm, packages=LITELLM),
)


@contextmanager
def routing(
    router: Router, replicas: Replicas, core: int, folder: Path
) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Yield (port, pids) of a router that answers for its models, on one core."""
    folder.mkdir()
    started = router.start(folder, replicas)
    log = folder / "log"
    argv = ["taskset", "-c", str(core), *started.argv]
    with _process(list(argv), {**os.environ, **started.env}, log) as process:
        deadline = time.monotonic() + START_SECONDS
        while not listens(started.port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(log.read_text(errors="replace")[-2000:])
            time.sleep(0.05)
        started.then()
        models = list(replicas) if router.models else list(replicas)[:1]
        for model in models:
            _until_it_answers(started.port, model, deadline, log)
        yield started.port, (process.pid, *children(process.pid))


def _until_it_answers(port: int, model: str, deadline: float, log: Path) -> None:
    """Wait until a request for this model is answered with 200."""
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "x"}]}).encode()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}
    url = f"http://127.0.0.1:{port}/v1/chat/completions"
    said = ""
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=10) as answer:
                if answer.status == 200:
                    return
        except OSError as error:
            said = str(error) + getattr(error, "read", lambda: b"")().decode(errors="replace")[:300]
        time.sleep(0.2)
    raise RuntimeError(f"no answer for {model}: {said}\n{log.read_text(errors='replace')[-1500:]}")
