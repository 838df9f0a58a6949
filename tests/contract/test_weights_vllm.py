"""vLLM's own loader loads, or refuses, the same files of a directory."""

import ast
import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nim.data_paths import ROOT
from nim.engine.find_installed_engine import find_engine
from nim.models.checkpoint.findings import Fault
from nim.models.checkpoint.read_local_model import read_local_model
from nim.models.checkpoint.select_weight_files import ADDED_FILES, OWN_LOADERS
from tests.unit.models.checkpoint.directories import (
    CONFIG,
    INDEX,
    LFS_POINTER,
    Content,
    index_of,
    make,
    safetensors,
)

pytestmark = [
    pytest.mark.engine,
    pytest.mark.slow,  # its answer changes only with the pinned vLLM
    pytest.mark.skipif(find_engine() is None, reason="vLLM is not installed"),
    pytest.mark.timeout(300),
]
Judge = Callable[[Path, str], dict[str, Any]]
# What a directory may hold: without shards' numbers and other hints that only we look at.
SAFETENSORS = (
    "model.safetensors",
    "a.safetensors",
    "b.safetensors",
    "consolidated.safetensors",
    ".c.safetensors",
)
BELOW = ("original/consolidated.safetensors", "sub/a.safetensors")
TORCH = (
    "pytorch_model.bin",
    "optimizer.bin",
    "training_args.bin",
    "model.pt",
    "scheduler.pt",
    "my_optimizer.pt",
)
OTHERS = ("tf_model.h5", "model.gguf", "consolidated.00.pth", "README.md")
CONTENTS: tuple[bytes, ...] = (
    *(safetensors({kind: 3}) for kind in ("BF16", "F32", "U8")),
    *(safetensors(cut=1), safetensors(cut=-1), LFS_POINTER, b"", bytes(64), b"<html>"),
)
FORMATS = ("auto", "hf", "safetensors", "mistral", "pt", "npcache")
INDEXES = (INDEX, "consolidated.safetensors.index.json")


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judge]:
    home = tmp_path_factory.mktemp("home")
    with (
        (home / "judge.log").open("w") as errors,
        subprocess.Popen(
            [sys.executable, "-m", "tests.unit.models.checkpoint.judge"],
            cwd=ROOT,
            env={"PATH": "/usr/bin:/bin", "HOME": str(home), "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        questions, answers = process.stdin, process.stdout
        assert questions is not None
        assert answers is not None
        assert answers.readline() == "{}\n", (home / "judge.log").read_text()[-4000:]

        def ask(directory: Path, load_format: str) -> dict[str, Any]:
            print(json.dumps([str(directory), load_format]), file=questions, flush=True)
            answer: dict[str, Any] = json.loads(answers.readline())
            return answer

        yield ask
        process.kill()


def weights() -> st.SearchStrategy[Mapping[str, Content]]:
    """Generate directories with some of the files, a third of them with other content than expected."""
    good = st.sampled_from(CONTENTS[:3])
    content = st.one_of(good, good, st.sampled_from(CONTENTS))
    torch = st.dictionaries(st.sampled_from((*TORCH, *OTHERS)), st.just(b"x"), max_size=4)
    found = st.dictionaries(st.sampled_from(SAFETENSORS), content, max_size=3)
    below = st.dictionaries(st.sampled_from(BELOW), content, max_size=1)
    names = st.lists(st.sampled_from(SAFETENSORS[:4]), min_size=1, max_size=2)
    indexes = st.dictionaries(st.sampled_from(INDEXES), names.map(lambda some: index_of(*some)), max_size=1)
    return st.tuples(torch, found, below, indexes).map(
        lambda parts: {name: text for part in parts for name, text in part.items()}
    )


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(files=weights(), load_format=st.sampled_from(FORMATS))
def test_the_engine_loads_what_is_counted_and_refuses_what_is_refused(
    judge: Judge, tmp_path_factory: pytest.TempPathFactory, files: Mapping[str, Content], load_format: str
) -> None:
    directory = make(tmp_path_factory.mktemp("drawn"), {"config.json": CONFIG, **files})
    model, said = read_local_model(directory, "here", load_format), judge(directory, load_format)
    if "refused" in said:
        assert model.findings, said
        return
    assert model.findings == ()
    assert model.weights is not None
    assert list(model.weights.files) == said["files"]


@pytest.mark.parametrize("name", ["plain", "with space", "model[awq]", "a[1-3]", "[", "x]", "star*", "what?"])
def test_the_engine_takes_some_paths_for_patterns(judge: Judge, tmp_path: Path, name: str) -> None:
    directory = make(tmp_path / name, {"config.json": CONFIG, "model.safetensors": CONTENTS[0]})
    refused = any(found.fault is Fault.DAMAGED for found in read_local_model(directory, "here").findings)
    assert ("refused" in judge(directory, "auto")) == refused


def test_numbered_files_and_sets_side_by_side(judge: Judge, tmp_path: Path) -> None:
    shards = [f"model-{number:05}-of-00003.safetensors" for number in (1, 2, 3)]
    files: dict[str, Content] = dict.fromkeys([*shards, "model.fp16.safetensors"], CONTENTS[0])
    directory = make(tmp_path / "a", {"config.json": CONFIG, INDEX: index_of(*shards), **files})
    found = read_local_model(directory, "here").weights
    assert found is not None
    assert judge(directory, "auto")["files"] == list(found.files) == shards


def test_no_other_architecture_chooses_its_files_by_itself() -> None:
    """Their classes are found in the engine's source by the attributes that its loader asks for."""
    spec = importlib.util.find_spec("vllm")
    assert spec is not None
    assert spec.origin is not None
    models = Path(spec.origin).parent / "model_executor" / "models"
    choosing = {path.stem for path in models.glob("*.py") if _chooses(path)}
    assert choosing == {"cosmos3", "cosmos3_edge", "ultravox", "kimi_audio", "roberta", "clef_omni"}
    registry = (models / "registry.py").read_text(encoding="utf-8")
    assert all(f'"{name}"' in registry for name in (*OWN_LOADERS, *ADDED_FILES))


def _chooses(path: Path) -> bool:
    attributes = {"allow_patterns_overrides", "secondary_weights"}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        for target in node.targets if isinstance(node, ast.Assign) else ():
            if attributes & {getattr(target, "id", ""), getattr(target, "attr", "")}:
                return True
    return False
