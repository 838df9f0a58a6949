"""What the engine will fetch by itself, and where it will lie."""

import pytest

from nim.decide.download import download_of
from nim.decide.model import Source
from nim.plan import Download
from nim.values import Layer, Origin, Value

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
