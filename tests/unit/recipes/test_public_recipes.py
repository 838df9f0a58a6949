"""The public recipes, if they are beside the checkout: imported, or refused with exact reasons."""

from pathlib import Path

import jsonschema
import pytest
import yaml

from nim.cli.main import main
from nim.engine import check_values, load_options, render_arguments
from nim.hardware import hardware_from_gpus
from nim.manifest import Manifest, read_manifest
from nim.manifest.find_problems import manifest_problems
from nim.manifest.json_schema import manifest_schema
from nim.recipes.importer import Choice, RecipeRefused, import_recipe
from nim.recipes.manifest_text import draft_text
from nim.recipes.read_recipe_file import load_recipe
from nim.selection.explain_rejected_profiles import NoProfileFits
from nim.selection.fit_types import Wishes
from nim.selection.select import Selection, select

ROOT = Path(__file__).resolve().parents[3]
RECIPES = ROOT.parent / "shared" / "data" / "recipes"
DOCUMENT = ROOT / "docs" / "profiles-from-recipes.md"
FILES = sorted(path for path in RECIPES.glob("*/*.yaml"))
TABLE = load_options()
RACKS = ("8xH100", "8xH200", "8xB200", "8xB300", "4xGB200")
DESKS = ("1xGB10", "2xL40S", "1xRTX-5090", "4xRTX-PRO-6000")
pytestmark = pytest.mark.skipif(not FILES, reason="the public recipes do not lie beside the checkout")
each = pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(RECIPES)) for path in FILES])


def imported(path: Path, *, drop_unknown: bool = False) -> str:
    choice = Choice(drop_unknown=drop_unknown)
    return draft_text(import_recipe(load_recipe(path), TABLE, name=path.name, choice=choice))


def manifest_or_reasons(path: Path, *, drop_unknown: bool = False) -> Manifest | RecipeRefused:
    try:
        return read_manifest(imported(path, drop_unknown=drop_unknown), name=path.name)
    except RecipeRefused as refused:
        return refused


@each
def test_it_makes_a_valid_manifest_or_gives_the_reasons(path: Path) -> None:
    found = manifest_or_reasons(path)
    if isinstance(found, RecipeRefused):
        assert path.name in str(found)
        assert all(reason.key and reason.text and str(reason) in str(found) for reason in found.reasons)
        return
    text = imported(path)
    assert text == imported(path)
    assert manifest_problems(found) == ()
    jsonschema.validate(yaml.safe_load(text), manifest_schema())
    engines = [profile.engine for profile in found.profiles]
    engines += [found.profiles[0].engine.under(variant.engine) for variant in found.variants.values()]
    for engine in engines:
        values = {name.replace("-", "_"): value for name, value in engine.args.items()}
        assert render_arguments(check_values(values, TABLE, place=path.name).values, TABLE) or not values


@pytest.mark.slow
@each
def test_its_choice_fits_or_all_are_refused(path: Path) -> None:
    """The weights go onto the GPUs that are chosen, with the share that the engine is told."""
    manifest = manifest_or_reasons(path)
    if isinstance(manifest, RecipeRefused):
        return
    for gpus in RACKS + DESKS:
        found = chosen_or_refusal(manifest, gpus)
        if isinstance(found, NoProfileFits):
            assert len(found.refused) == len(manifest.profiles)
            continue
        assert len(found.devices) == found.profile.gpu_count
        need = found.estimate.need_bytes
        assert need is not None
        for gpu in found.devices:
            assert gpu.memory_total_bytes is None or need <= gpu.memory_total_bytes


def chosen_or_refusal(manifest: Manifest, gpus: str) -> Selection | NoProfileFits:
    try:
        return select(manifest, hardware_from_gpus(gpus), Wishes())
    except NoProfileFits as refusal:
        return refusal


@each
def test_only_another_program_is_in_the_way_when_unknown_options_are_dropped(path: Path) -> None:
    found = manifest_or_reasons(path, drop_unknown=True)
    if isinstance(found, RecipeRefused):
        assert {reason.key for reason in found.reasons} == {"omni"}
    else:
        assert manifest_problems(found) == ()


def test_models_that_people_know_run_as_one_would_run_them() -> None:
    expected = {
        ("deepseek-ai/DeepSeek-R1", "8xH200"): "vllm-nvidia-hopper-fp8-tp8-pp1",
        ("deepseek-ai/DeepSeek-R1", "8xB200"): "vllm-nvidia-blackwell-nvfp4-tp8-pp1",
        ("meta-llama/Llama-3.3-70B-Instruct", "2xH100"): "vllm-nvidia-hopper-fp8-tp2-pp1",
        ("openai/gpt-oss-120b", "8xH200"): "vllm-mxfp4-tp4-pp1",
        ("Qwen/Qwen3-32B", "1xL40S"): "vllm-int4-tp1-pp1",
        ("moonshotai/Kimi-K2.5", "8xH200"): "vllm-int4-tp8-pp1",
        ("nvidia/NVIDIA-Nemotron-3-Ultra-550B-A55B-BF16", "8xB200"): "vllm-nvfp4-tp8-pp1",
        ("Qwen/Qwen3-1.7B", "1xA10G"): "vllm-bf16-tp1-pp1",
        ("Google/gemma-4-26B-A4B-it", "1xGB10"): "vllm-nvidia-gb10-nvfp4-tp1-pp1",
    }
    found = {
        (name, gpus): select(
            read_manifest(imported(RECIPES / f"{name}.yaml")), hardware_from_gpus(gpus), Wishes()
        ).chosen.label
        for name, gpus in expected
    }
    assert found == expected


def test_the_documents_table_is_fresh(capsys: pytest.CaptureFixture[str]) -> None:
    main(["profiles", "import", str(RECIPES), "--gpus", "8xH200"])
    table = capsys.readouterr().out
    assert f"```text\n{table}```\n" in DOCUMENT.read_text(encoding="utf-8"), (
        "nim profiles import DIRECTORY --gpus 8xH200, into the document's table"
    )
