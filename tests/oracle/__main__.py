"""Judge every model that is here and not judged yet; `python -m tests.oracle NAME …` judges again."""

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from queue import SimpleQueue
from typing import Any

from nim.data_paths import ROOT
from tests.oracle import models, record
from tests.oracle.models import Model

AT_ONCE = 2
Verdict = dict[str, Any]


class Judge:
    """Processes of vLLM that judge one model after the other, one process for each capability."""

    def __init__(self) -> None:
        self._processes: dict[str, subprocess.Popen[str]] = {}

    def judge(self, model: Model) -> Verdict:
        """Return the verdict on Hopper, or on Blackwell where only Hopper refuses the model on one GPU."""
        verdict = self._ask(model, "9.0")
        if (refusal := _find_refusal(verdict)) and not _find_refusal(again := self._ask(model, "10.0")):
            verdict = again | {"refused_on_9.0": refusal}
        return verdict | {"model": model.name, "files": model.fingerprint}

    def close(self) -> None:
        """End the processes."""
        for process in self._processes.values():
            process.communicate(timeout=60)

    def _ask(self, model: Model, platform: str) -> Verdict:
        if platform not in self._processes:
            self._processes[platform] = _start_process(platform)
        process = self._processes[platform]
        assert process.stdin
        assert process.stdout
        process.stdin.write(f"{model.directory}\n")
        process.stdin.flush()
        return dict(json.loads(process.stdout.readline()))


def _start_process(platform: str) -> "subprocess.Popen[str]":
    log = ROOT / "build" / "oracle" / f"{platform}-{time.monotonic_ns()}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    return subprocess.Popen(
        ["nice", sys.executable, "-m", "tests.oracle.judge", platform],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log.open("w"),
        text=True,
    )


def _find_refusal(verdict: Verdict) -> str | None:
    alone: Verdict = verdict.get("tensor_parallel", {}).get("1", {})
    error: str | None = verdict.get("error") or alone.get("error")
    return error


def main() -> None:
    """Update the record; an interrupted run continues where it ended."""
    known = record.read() | record.read(record.UNRECORDED)
    asked = set(sys.argv[1:])
    wanted = [model for model in models.list_all() if _is_wanted(model, asked, known)]
    judges: SimpleQueue[Judge] = SimpleQueue()
    for _ in range(AT_ONCE):
        judges.put(Judge())

    def judged(model: Model) -> Verdict:
        judge = judges.get()
        try:
            return judge.judge(model)
        finally:
            judges.put(judge)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        running = {pool.submit(judged, model): model for model in wanted}
        for done in as_completed(running):
            model = running[done]
            known[model.name] = done.result()
            print(f"{model.name}: {_find_refusal(known[model.name]) or 'judged'}", flush=True)
            _write_record(known)
    for _ in range(AT_ONCE):
        judges.get().close()


def _is_wanted(model: Model, asked: set[str], known: dict[str, Verdict]) -> bool:
    if asked:
        return model.name in asked
    return known.get(model.name, {}).get("files") != model.fingerprint


def _write_record(known: dict[str, Verdict]) -> None:
    kept = {model.name for model in models.list_cases()}
    record.write(verdict for name, verdict in known.items() if name not in kept)
    record.write((verdict for name, verdict in known.items() if name in kept), record.UNRECORDED)


if __name__ == "__main__":
    started = time.monotonic()
    main()
    print(f"{time.monotonic() - started:.0f} s")
