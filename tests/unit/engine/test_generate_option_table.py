import json
from pathlib import Path
from typing import Any

import pytest

from nim.engine import generate_option_table
from nim.engine.option_table import HISTORY, OPTIONS_DIR, table_from, table_versions


def committed() -> dict[str, Any]:
    raw: dict[str, Any] = json.loads((OPTIONS_DIR / f"vllm-{table_versions()[-1]}.json").read_bytes())
    return raw


def test_the_text_has_one_option_or_variable_per_line() -> None:
    table = committed()
    text = generate_option_table.table_text(table)
    assert json.loads(text) == table
    assert text == (OPTIONS_DIR / f"vllm-{table['version']}.json").read_text(encoding="utf-8")
    assert len(text.splitlines()) > len(table["options"]) + len(table["variables"])


def test_writing_a_new_release_records_what_the_older_one_had(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    older, newer = committed(), committed()
    newer["version"] = "99.0.0"
    del newer["options"]["enforce_eager"]
    (tmp_path / f"vllm-{older['version']}.json").write_text(generate_option_table.table_text(older))
    (tmp_path / HISTORY).write_bytes((OPTIONS_DIR / HISTORY).read_bytes())
    assert generate_option_table._write(newer, tmp_path) == 0
    assert "vllm-99.0.0.json" in capsys.readouterr().out
    history = json.loads((tmp_path / HISTORY).read_bytes())
    table = table_from(json.loads((tmp_path / "vllm-99.0.0.json").read_bytes()), history)
    assert table.find("--enforce-eager") is None
    assert (
        table.gone["--enforce-eager"].last_seen
        == table.gone["--no-enforce-eager"].last_seen
        == older["version"]
    )
    assert table.gone["--disable-log-requests"].use == "--no-enable-log-requests"


def test_the_check_prints_drift_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert generate_option_table._check(committed()) == 0
    capsys.readouterr()
    installed = committed()
    installed["options"]["brand_new"] = installed["options"].pop("seed")
    assert generate_option_table._check(installed) == 1
    drift = json.loads(capsys.readouterr().out)
    assert (drift["added"], drift["removed"]) == (["brand_new"], ["seed"])
