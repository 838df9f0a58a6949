"""Model names as users write them."""

import pytest

from nim.errors import SettingsError
from nim.models.requested_model import read_source

PLACE = "NIM_MODEL_PATH"


@pytest.mark.parametrize(
    "text",
    ["hf://org/name", "hf://org/name:main", "hf://org/name:refs/pr/1", "/models/x", "a/hf:x", "hf"],
)
def test_a_source_is_read(text: str) -> None:
    assert read_source(text, PLACE).uri == text


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("hf:/org/name", "hf://org/name"),
        ("hf:org/name", "hf://org/name"),
        ("HF://org/name", "hf://org/name"),
        ("hf://org/name/", "hf://org/name"),
        ("hf://org/name@main", "hf://org/name:main"),
        ("huggingface://org/name:v1", "hf://org/name:v1"),
        ("https://huggingface.co/org/name", "hf://org/name"),
        ("https://hf.co/org/name/", "hf://org/name"),
        ("https://huggingface.co/org/name/tree/v1.0", "hf://org/name:v1.0"),
        ("https://huggingface.co/org/name/blob/main/config.json", "hf://org/name:main"),
        ("file:///models/x", "/models/x"),
    ],
)
def test_another_way_of_writing_it_is_refused_with_the_right_one(text: str, meant: str) -> None:
    with pytest.raises(SettingsError, match="expected hf://org/name, ") as caught:
        read_source(text, PLACE)
    assert caught.value.message.startswith(f"cannot use {PLACE} '{text}': ")
    assert caught.value.hint == meant
    read_source(meant, PLACE)


@pytest.mark.parametrize("text", ["hf://org", "hf://org/na..me", "hf://", "hf:///models/x"])
def test_what_can_be_nothing_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="expected hf://org/name, ") as caught:
        read_source(text, PLACE)
    assert caught.value.hint is None


@pytest.mark.parametrize("text", ["ftp://host/x", "oss://bucket/x", "docker://image"])
def test_other_places_are_named(text: str) -> None:
    with pytest.raises(SettingsError, match=r"models from .*:// are not supported"):
        read_source(text, PLACE)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("s3://bucket/models/x/", "bucket/models/x"),
        ("gs://bucket", "bucket"),
        ("az://container/x", "container/x"),
        ("https://host:8443/models/x", "x"),
        ("modelscope://org/name:v1", "org/name"),
        ("ngc://nim/meta/llama:1.0", "nim/meta/llama"),
    ],
)
def test_what_the_service_fetches_itself(text: str, name: str) -> None:
    source = read_source(text, PLACE)
    assert source.remote == source.uri == text.rstrip("/")
    assert (source.name, source.path, source.repository) == (name, None, None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("s3://", "s3://BUCKET/DIRECTORY"),
        ("s3://bucket/../x", "s3://BUCKET/DIRECTORY"),
        ("https://user:word@host/x", "https://HOST/DIRECTORY"),
        ("https://host/x?signature=1", "https://HOST/DIRECTORY"),
        ("https://host", "https://HOST/DIRECTORY"),
        ("ngc://nim/meta/llama", "ngc://ORG[/TEAM]/MODEL:VERSION"),
        ("modelscope://name", "modelscope://ORG/NAME[:REVISION]"),
    ],
)
def test_a_uri_of_another_form_is_refused_with_the_right_one(text: str, expected: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_source(text, PLACE)
    assert caught.value.hint == expected


def test_the_scheme_of_another_tool_is_refused_with_ours() -> None:
    with pytest.raises(SettingsError) as caught:
        read_source("gcs://bucket/x", PLACE)
    assert caught.value.hint == "gs://bucket/x"
