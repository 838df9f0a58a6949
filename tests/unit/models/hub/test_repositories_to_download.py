"""The repositories that the engine downloads, and their cache directories."""

import pytest

from nim.models.hub.repositories_to_download import ORIGINALS, download_of, wanted_of
from nim.models.requested_model import Source
from nim.plan import Download, Wanted
from nim.value_origins import Layer, Origin, Value

SOURCE = Source(repository="org/name", revision="main")


def config(**values: object) -> dict[str, Value]:
    origin = Origin(layer=Layer.ENV, place="here")
    return {name: Value(value=value, origin=origin) for name, value in values.items()}


@pytest.mark.parametrize(
    ("options", "environ", "cache"),
    [
        ({"HF_HOME": "/c"}, {}, "/c/hub"),
        ({"HF_HOME": "/c"}, {"HF_HUB_CACHE": "/h", "HUGGINGFACE_HUB_CACHE": "/o"}, "/h"),
        ({"HF_HOME": "/c"}, {"HUGGINGFACE_HUB_CACHE": "/o"}, "/o"),
        ({"HF_HOME": "/c", "download_dir": "/d"}, {"HF_HUB_CACHE": "/h"}, "/d"),
        ({"HF_HOME": "/c", "download_dir": None}, {"HF_HUB_CACHE": ""}, "/c/hub"),
    ],
)
def test_where_the_hub_s_client_puts_it(
    options: dict[str, object], environ: dict[str, str], cache: str
) -> None:
    found = download_of(SOURCE, config(**options), environ, 16.1)
    assert found == Download(directory=f"{cache}/models--org--name", total_bytes=16_100_000_000)


def test_an_unknown_size_stays_unknown_and_a_directory_is_no_download() -> None:
    found = download_of(SOURCE, config(HF_HOME="/c"), {}, None)
    assert found is not None
    assert found.total_bytes is None
    assert download_of(Source(path="/models/mine"), config(HF_HOME="/c"), {}, 16.1) is None


def wanted(source: Source = SOURCE, **options: object) -> dict[str, Wanted]:
    return {one.repository: one for one in wanted_of(source, config(HF_HOME="/c", **options), {})}


def test_what_a_start_takes_from_the_hub() -> None:
    found = wanted(revision="main")
    assert found == {
        "org/name": Wanted(repository="org/name", revision="main", cache="/c/hub", ignored=ORIGINALS)
    }
    assert str(found["org/name"].directory) == "/c/hub/models--org--name"
    assert found["org/name"].uri == "hf://org/name:main"
    assert wanted(Source(path="/models/mine")) == {}


def test_drafts_and_tokenizers_are_models_of_their_own() -> None:
    draft = {"model": "org/draft", "method": "eagle3", "revision": "v2"}
    found = wanted(revision="main", speculative_config=draft, tokenizer="org/words", load_format="pt")
    assert {name: (one.revision, one.load_format) for name, one in found.items()} == {
        "org/name": ("main", "pt"),
        "org/draft": ("v2", "pt"),
        "org/words": ("main", None),
    }
    found = wanted(Source(path="/models/mine"), tokenizer="org/words", tokenizer_revision="v3")
    assert list(found) == ["org/words"]
    assert found["org/words"].revision == "v3"


@pytest.mark.parametrize("name", ["/models/words", "./words", "words", "a/b/c", "", None])
def test_a_path_is_no_repository(name: str | None) -> None:
    assert list(wanted(tokenizer=name, speculative_config={"model": name})) == ["org/name"]


def test_what_is_the_model_s_own_is_wanted_with_its_weights() -> None:
    (one,) = wanted_of(SOURCE, config(HF_HOME="/c", revision="main", tokenizer="org/name"), {})
    assert one.load_format == "auto"
