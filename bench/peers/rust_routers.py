"""The routers of SGLang and of vLLM, both written in Rust and started from Python."""

from functools import partial

from bench.peers.peer import Command, Peer, Site
from bench.peers.place import Packages
from bench.service import free_port

SGLANG = Packages(name="sglang-router", pip=("sglang-router==0.3.2",))
VLLM = Packages(name="vllm-router", pip=("vllm-router==0.1.17",))


def _command(site: Site, *, packages: Packages, module: str) -> Command:
    argv = [str(packages.path("bin/python")), "-m", module]
    argv += ["--worker-urls", f"http://127.0.0.1:{site.upstream_port}"]
    argv += ["--host", "127.0.0.1", "--port", str(site.port)]
    argv += ["--prometheus-host", "127.0.0.1", "--prometheus-port", str(free_port())]
    argv += ["--policy", "round_robin", "--log-level", "error", "--request-timeout-secs", "14400"]
    argv += ["--max-concurrent-requests", "20000", "--disable-circuit-breaker"]
    argv += ["--max-payload-size", str(512 * 1024 * 1024)]
    return Command(argv=argv)


def _peer(packages: Packages, module: str) -> Peer:
    return Peer(
        name=packages.name,
        title=packages.pip[0].replace("==", " "),
        command=partial(_command, packages=packages, module=module),
        missing=packages.missing,
    )


SGLANG_ROUTER = _peer(SGLANG, "sglang_router.launch_router")
VLLM_ROUTER = _peer(VLLM, "vllm_router.launch_router")
