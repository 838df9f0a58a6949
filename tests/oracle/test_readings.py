"""Our readings agree with the engine's recorded verdicts."""

import pytest

from tests.oracle import compare, models, record, table
from tests.oracle.compare import COLUMNS, Compared
from tests.oracle.models import Model

VERDICTS = record.read()
HERE = [*models.list_corpus(), *models.list_published()]
ACCEPTED = [model for model in HERE if compare.list_accepted(VERDICTS.get(model.name, {}))]
REFUSED = [model for model in HERE if model not in ACCEPTED]


# Models whose figures differ from the engine's, as docs/models.md shows. Remove an entry once it agrees.
KNOWN_DIFFERENCES = {
    "deepseek-v4": {"parameter_bytes"},
    "idefics3": {"parameter_bytes"},
    "kimi-vl": {"parameter_bytes"},
    "llama-modelopt-fp8-channels": {"parameter_bytes"},
    "llama-modelopt-mxfp8": {"parameter_bytes"},
    "llama-quark-fp8": {"parameter_bytes"},
    "mistral-embedder": {"parameter_bytes"},
    "nomic-bert": {"parameter_bytes"},
    "pixtral-params": {"parameter_bytes", "tensor_parallel_sizes"},
    "qwen2-audio": {"parameter_bytes"},
    "step3-text": {"parameter_bytes"},
    "voxtral-params": {"parameter_bytes", "tensor_parallel_sizes"},
}


def name_of(model: Model) -> str:
    return model.name


@pytest.mark.parametrize("model", HERE, ids=name_of)
def test_the_recorded_verdict_is_of_these_files(model: Model) -> None:
    assert VERDICTS[model.name]["files"] == model.fingerprint, f"make model-oracle ONLY={model.name}"


@pytest.fixture(scope="module", params=ACCEPTED, ids=name_of)
def compared(request: pytest.FixtureRequest) -> tuple[str, dict[str, Compared]]:
    model: Model = request.param
    return model.name, compare.compare(model.directory, VERDICTS[model.name])


@pytest.mark.parametrize("column", COLUMNS)
def test_the_reading_agrees_with_the_engine(compared: tuple[str, dict[str, Compared]], column: str) -> None:
    name, columns = compared
    found = columns[column]
    expected = column not in KNOWN_DIFFERENCES.get(name, ())
    assert found.agrees == expected, f"engine {found.engine}, ours {found.ours}"


@pytest.mark.parametrize("model", REFUSED, ids=name_of)
def test_a_model_that_the_engine_refuses_is_read(model: Model) -> None:
    assert compare.read_ours(model.directory, "1xH100", 1)["architecture"] is not None


def test_the_document_is_fresh() -> None:
    written = table.DOCUMENT.read_text(encoding="utf-8")
    assert written == table.render_document(written), "make model-oracle"
