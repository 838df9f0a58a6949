"""`python -m tests.gateway.lint`: gixy's findings in nginx configurations with few and with all features."""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from nim.plan import ApiKeys, Cors, Limits, Tls
from tests.gateway.nginx import ALL_GROUPS, Nginx, gateway_of

# Checks that do not apply, and why.
SKIPPED = {
    "if_is_evil": "each `if` only returns, after adding headers; tests/gateway asks for both",
    "add_header_redefinition": "answers of nginx itself have headers of their own",
    "missing_resolver": "the only variable address is one of two upstreams, which have no host names",
    "proxy_pass_normalized": "the location is exact: nothing of the client's path is passed on",
    "try_files_is_evil_too": "the file is replaced during the start, so that nothing about it may be cached",
    "worker_rlimit_nofile_vs_connections": "nginx counts connections to the engine as well",
    "default_server_flag": "each port has one server; gixy takes `so_keepalive=60s:30s:8` for an address",
    "hsts_header": "the name may be localhost, whose other ports a browser would then ask for TLS as well",
}
FEATURES: dict[str, dict[str, Any]] = {
    "defaults": {},
    "everything": {
        "api_keys": ApiKeys(file="/keys", from_environment=True, nginx_modules=("/module.so",)),
        "tls": Tls(certificates="/tls.crt", key="/tls.key", client_authorities="/ca.crt"),
        "limits": Limits(requests=10, requests_per_key=2, rate_per_key=3),
        "health_port": 8001,
        "listen_ipv6": True,
        "route_groups": ALL_GROUPS,
        "cors": Cors(
            origins=("https://a.example", "local"), methods=("GET",), headers=("*",), credentials=True
        ),
    },
}


def findings(directory: Path, **features: Any) -> str:
    """Return what gixy finds in the configuration of a gateway with these features; empty if nothing."""
    nginx = Nginx(run_dir=directory, gateway=gateway_of(**features))
    nginx.write()
    found = ""
    for conf in sorted(directory.glob("*.conf")):
        conf.write_text(_readable(conf.read_text(encoding="utf-8")), encoding="utf-8")
        command = [sys.executable, "-m", "gixy", "--format", "text", "--skips", ",".join(SKIPPED), str(conf)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        found += "" if done.returncode == 0 else done.stdout + done.stderr
    return found


def _readable(text: str) -> str:
    """Return the configuration without what gixy misreads.

    It does not know branch reset groups, which differ from others only in numbers, nor `\\z`, which differs
    from `$` only before a line feed. It reads two backslashes in quotes where nginx reads one.
    """
    return text.replace("(?|", "(?:").replace("\\\\", "\\").replace("\\z", "$")


def main() -> int:
    """Print the findings in each configuration; return 1 if there are any."""
    found = 0
    for name, features in FEATURES.items():
        with tempfile.TemporaryDirectory() as directory:
            if said := findings(Path(directory), **features):
                print(f"{name}:\n{said}")
                found = 1
    return found


if __name__ == "__main__":
    sys.exit(main())
