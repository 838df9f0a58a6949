"""What a person sees of a download: bars on a terminal, lines in a log."""

import os
import pty
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from nim.fetch.download import progress
from tests.sources.conftest import Downloader, make_model
from tests.sources.file_server import serving_files

ROOT = Path(__file__).resolve().parents[2]
SIZE = 3_000_000


def test_bars_on_a_terminal(tmp_path: Path) -> None:
    make_model(tmp_path / "files" / "model", SIZE)
    ours, theirs = pty.openpty()
    with serving_files(tmp_path / "files", bytes_per_second=SIZE / 3) as server:
        process = subprocess.Popen(
            [sys.executable, "-m", "nim", "fetch", "--model-uri", f"{server.url}/model"],
            env={**os.environ, "NIM_CACHE_PATH": str(tmp_path / "cache"), "TERM": "xterm", "COLUMNS": "120"},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=theirs,
        )
        os.close(theirs)
        seen = b""
        with suppress(OSError):  # the terminal's end
            while data := os.read(ours, 65536):
                seen += data
        process.communicate(timeout=60)
    os.close(ours)
    assert process.returncode == 0
    said = seen.decode(errors="replace")
    assert "all files" in said
    assert "model.safetensors" in said
    assert "B/s" in said


def test_lines_in_a_log(tmp_path: Path, fetch: Downloader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nim.health.measure_download_progress.LOG_SECONDS", 0.5)
    monkeypatch.setattr(progress, "TICK_SECONDS", 0.1)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    make_model(tmp_path / "files" / "model", SIZE)
    with serving_files(tmp_path / "files", bytes_per_second=SIZE / 3) as server:
        fetch(f"{server.url}/model")
    assert any(line.startswith("fetched ") and " of 3.0 MB, " in line for line in fetch.shown)
    assert any("MB/s, about " in line and line.endswith(" s left") for line in fetch.shown)
