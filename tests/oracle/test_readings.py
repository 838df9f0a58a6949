"""Our readings agree with the engine's recorded verdicts."""

import pytest

from nim.models.config.read_config_files import read_config
from nim.models.find_model_faults import model_fault
from tests.oracle import compare, models, record, table
from tests.oracle.models import Model

VERDICTS = record.read()
HERE = [*models.list_corpus(), *models.list_published(), *models.list_derived()]
ACCEPTED = [model for model in HERE if compare.list_accepted(VERDICTS.get(model.name, {}))]
REFUSED = [model for model in HERE if model not in ACCEPTED]
# The engine shares the layers of this model's tower out to the stages; we count all of them on each.
STAGED_TOWERS = {"voxtral-params"}
# Transformers has no class of their model type.
WITHOUT_CLASS = {"sgl-project/DeepSeek-V4-Flash-FP8", "sgl-project/DeepSeek-V4-Pro-FP8"}


def name_of(model: Model) -> str:
    return model.name


@pytest.mark.parametrize("model", HERE, ids=name_of)
def test_the_recorded_verdict_is_of_these_files(model: Model) -> None:
    assert VERDICTS[model.name]["files"] == model.fingerprint, f"make model-oracle ONLY={model.name}"


@pytest.mark.parametrize("model", ACCEPTED, ids=name_of)
def test_the_reading_agrees_with_the_engine(model: Model) -> None:
    verdict = VERDICTS[model.name]
    found = compare.compare(model.directory, verdict) | compare.compare_other_facts(model.directory, verdict)
    assert {name: column for name, column in found.items() if not column.agrees} == {}


@pytest.mark.slow
@pytest.mark.parametrize("model", ACCEPTED, ids=name_of)
def test_stages_and_expert_parallel_ranks_agree_with_the_engine(model: Model) -> None:
    verdict = VERDICTS[model.name]
    found = compare.compare_expert_parallel(model.directory, verdict)
    if model.name not in STAGED_TOWERS:
        found |= compare.compare_stages(model.directory, verdict)
    assert {name: column for name, column in found.items() if not column.agrees} == {}


@pytest.mark.parametrize("model", REFUSED, ids=name_of)
def test_a_model_that_the_engine_refuses_is_read(model: Model) -> None:
    assert compare.read_ours(model.directory, "1xH100", 1)["architecture"] is not None


@pytest.mark.parametrize("model", HERE, ids=name_of)
def test_what_the_engine_refuses_is_refused_for_a_reason(model: Model) -> None:
    fault = model_fault(read_config(model.directory))
    assert (fault is None) == (model in ACCEPTED or model.name in WITHOUT_CLASS), fault


def test_the_document_is_fresh() -> None:
    written = table.DOCUMENT.read_text(encoding="utf-8")
    assert written == table.render_document(written), "make model-oracle"
