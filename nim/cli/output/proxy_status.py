"""The output of `nim proxy --check` and `nim proxy status`."""

import argparse
import http.client
import json
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nim.errors import PreflightError
from nim.plan import MIDDLEWARE_SOCKET
from nim.planning.read_host_facts import run_directory
from nim.proxy.answers.app import STATUS
from nim.proxy.backend_services import Backend
from nim.settings import read_settings

ANSWER_SECONDS = 5.0


def backends_text(backends: Iterable[Backend]) -> str:
    """Return the backends of a file as a table."""
    rows = [("BACKEND", "STATE", "ROUTING", "KEY", "MODELS", "URLS")]
    for each in backends:
        models = ", ".join(each.models) or "(asked)"
        names = "".join(f", {alias} → {name}" for alias, name in each.aliases.items())
        key = each.key_env or "the client's"
        rows.append((each.name, each.state, each.routing, key, models + names, " ".join(each.urls)))
    return _table(rows)


def print_status(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Print the state of the running proxy; return 0 if it is ready, else 1."""
    parser = argparse.ArgumentParser(prog="nim proxy status", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    state = _ask(run_directory(read_settings(environ)))
    print(json.dumps(state, indent=1, ensure_ascii=False) if options.json else _text(state), end="")
    if options.json:
        print()
    return 0 if state["ready"] else 1


def _ask(run_dir: str) -> Any:
    """Return the state of the proxy in a run directory; PreflightError if none answers there."""
    link = http.client.HTTPConnection("proxy", timeout=ANSWER_SECONDS)
    path = Path(run_dir, MIDDLEWARE_SOCKET)
    try:
        link.sock = socket.socket(socket.AF_UNIX)
        link.sock.settimeout(ANSWER_SECONDS)
        link.sock.connect(str(path))
        link.request("GET", STATUS)
        answer = link.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise ValueError(f"it answered {answer.status}")
        return json.loads(text)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise PreflightError(
            f'cannot ask a running proxy: none answers in "{run_dir}" ({error})',
            hint="NIM_RUN_DIR=… the value that the proxy has, or NIM_SERVER_PORT",
        ) from None
    finally:
        link.close()


def _text(state: Mapping[str, Any]) -> str:
    """Return the state as text: a table of the replicas, then the requests by status."""
    rows = [("BACKEND", "REPLICA", "STATE", "RUNNING", "REQUESTS", "MODELS"), *_rows(state["backends"])]
    counts = ", ".join(f"{status}: {count}" for status, count in state["requests"].items()) or "none"
    return f"{_table(rows)}\n{'ready' if state['ready'] else 'not ready'}; requests that ended: {counts}\n"


def _rows(backends: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, ...]]:
    """Yield a row of the table for each replica; one for a backend without any."""
    for backend in backends:
        models = ", ".join(backend["models"]) or "-"
        if not backend["replicas"]:
            state = "unresolved" if backend["unresolved"] else backend["state"]
            yield (backend["name"], " ".join(backend["unresolved"]) or "-", state, "-", "-", models)
        for replica in backend["replicas"]:
            eta = f" ({replica['eta_seconds']:g} s left)" if replica["eta_seconds"] is not None else ""
            state = "ready" if replica["ready"] else f"not ready: {replica['why']}{eta}"
            yield (
                backend["name"],
                replica["url"],
                state,
                str(replica["running"]),
                str(replica["requests"]),
                models,
            )


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    """Return rows as aligned text."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "".join("  ".join(map(str.ljust, row, widths)).rstrip() + "\n" for row in rows)
