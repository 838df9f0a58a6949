"""Two services share one cache: what either compiles, the next start finds."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import openai
import pytest

from nim.options.cache_dir_variables import COMPILE_CACHES
from tests.e2e.conftest import READY_SECONDS, serving

pytestmark = [
    pytest.mark.engine,
    pytest.mark.own_engine,
    pytest.mark.slow,
    pytest.mark.timeout(4 * READY_SECONDS),
]
INDUCTOR = COMPILE_CACHES["TORCHINDUCTOR_CACHE_DIR"]


def test_two_services_at_once_share_what_they_compile(tmp_path: Path) -> None:
    """Both start with an empty cache at the same time; a third start then compiles nothing."""
    cache = tmp_path / "cache"
    with ThreadPoolExecutor(2) as pool:
        answers = set(pool.map(lambda name: answer_of(tmp_path / name, cache), ("one", "two")))
    compiled = libraries(cache)
    assert compiled, "the engine compiled nothing into the shared cache"
    answers.add(answer_of(tmp_path / "three", cache))
    assert len(answers) == 1
    assert libraries(cache) == compiled
    log = (tmp_path / "three" / "log").read_text(encoding="utf-8")
    assert "load failure" not in log, "the engine compiled again because it could not load what it had saved"


def answer_of(directory: Path, cache: Path) -> str:
    """Start a service of its own on this cache, and return its completion of a fixed prompt."""
    directory.mkdir()
    compiling = {"NIM_PASSTHROUGH_ARGS": "--no-enforce-eager"}  # the demo's profile compiles nothing
    with serving(directory, NIM_CACHE_PATH=str(cache), VLLM_CPU_KVCACHE_SPACE="1", **compiling) as running:
        client = openai.OpenAI(base_url=f"{running.root}/v1", api_key="none", max_retries=0)
        answer = client.completions.create(model="nim/demo", prompt="Hello", max_tokens=8, temperature=0)
        return answer.choices[0].text


def libraries(cache: Path) -> set[str]:
    """Return the names of the libraries of machine code that Inductor keeps in this cache."""
    return {file.name for file in (cache / "vllm" / INDUCTOR).rglob("*.so")}
