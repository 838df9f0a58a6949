import sys
from pathlib import Path

import pytest

from nim.engine.find_installed_engine import InstalledEngine, find_engine


def install(directory: Path, name: str, version: str) -> None:
    metadata = directory / f"{name.replace('-', '_')}-{version}.dist-info" / "METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


CPU_COMMAND = ("PYTHON", "-m", "nim.supervision.run_vllm_cpu", "serve")
GPU_COMMAND = ("PYTHON", "-m", "vllm.entrypoints.cli.main", "serve")


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ([], None),
        ([("torch", "2.13.0"), ("vllm-router", "1.0")], None),
        ([("vllm-cpu", "0.32.0")], ("0.32.0", "cpu", CPU_COMMAND)),
        ([("vllm", "0.32.0")], ("0.32.0", "gpu", GPU_COMMAND)),
        ([("vllm", "0.32.0+cpu")], ("0.32.0+cpu", "cpu", GPU_COMMAND)),
        ([("vllm", "0.32.0"), ("vllm-cpu", "0.31.0")], ("0.32.0", "gpu", GPU_COMMAND)),
    ],
)
def test_the_engine_is_found_by_its_metadata(
    tmp_path: Path,
    names: list[tuple[str, str]],
    found: tuple[str, str, tuple[str, ...]] | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "executable", "PYTHON")
    for name, version in names:
        install(tmp_path, name, version)
    engine = find_engine([str(tmp_path)])
    if found is None:
        assert engine is None
    else:
        version, build, command = found
        assert engine == InstalledEngine(name="vllm", version=version, build=build, command=command)  # type: ignore[arg-type]


def test_vllms_own_script_is_used_if_it_is_beside_the_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A virtual environment that borrows the system's vLLM has none; its module does the same."""
    install(tmp_path, "vllm", "0.32.0")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    (tmp_path / "vllm").touch()
    engine = find_engine([str(tmp_path)])
    assert engine is not None
    assert engine.command == (str(tmp_path / "vllm"), "serve")


def test_detection_does_not_import_the_engine() -> None:
    before = set(sys.modules)
    find_engine()
    assert not {name for name in set(sys.modules) - before if name.partition(".")[0] in ("vllm", "torch")}
