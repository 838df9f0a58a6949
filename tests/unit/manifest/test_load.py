"""Manifests are read strictly: errors name the line."""

import re
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nim.errors import ManifestError
from nim.manifest import load_manifest, local_path, read_manifest

HEAD = """\
schema_version: 2.0.0
model:
  name: acme/rocket
  source: hf://acme/rocket
"""
ID = "a" * 64
PROFILE = f"""\
profiles:
  - id: {ID}
    tags: {{llm_engine: vllm, precision: bf16, tp: "1", pp: "1"}}
"""


def refusal(text: str) -> str:
    with pytest.raises(ManifestError) as caught:
        read_manifest(text, name="rocket.yaml")
    return str(caught.value)


def test_minimal_manifest_is_read() -> None:
    manifest = read_manifest(HEAD + PROFILE)
    (profile,) = manifest.profiles
    assert manifest.name == "acme/rocket"
    assert profile.label == "vllm-bf16-tp1-pp1"
    assert profile.files == {"checkpoint": "hf://acme/rocket"}
    assert profile.line == 6


def test_options_are_joined_weakest_first() -> None:
    manifest = read_manifest(
        HEAD
        + """\
engine:
  args: {max-num-seqs: 1, block-size: 16, speculative-config: {method: mtp, num_speculative_tokens: 1}}
  env: {A: "all"}
checkpoints:
  bf16:
    source: hf://acme/rocket-bf16
    download_gb: 16
    engine: {args: {max-num-seqs: 2}, env: {B: "bf16"}}
"""
        + PROFILE
        + "    engine: {args: {max-num-seqs: 3, speculative-config: {num_speculative_tokens: 2}}}\n"
    )
    (profile,) = manifest.profiles
    assert profile.engine.args == {
        "max-num-seqs": 3,
        "block-size": 16,
        "speculative-config": {"method": "mtp", "num_speculative_tokens": 2},
    }
    assert profile.engine.env == {"A": "all", "B": "bf16"}
    assert profile.source == "hf://acme/rocket-bf16"
    assert profile.download_gb == 16


def test_lora_tags_switch_the_engine() -> None:
    text = PROFILE.replace('pp: "1"', 'pp: "1", feat_lora: "true", feat_lora_max_rank: "32"')
    (profile,) = read_manifest(HEAD + text).profiles
    assert profile.engine.args == {"enable-lora": True, "max-lora-rank": 32}
    assert profile.label == "vllm-bf16-tp1-pp1-feat_lora"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (HEAD.replace("model:", "modle:") + PROFILE, ("'modle'", "rocket.yaml:2", "hint: write model")),
        (HEAD + "  nmae: x\n" + PROFILE, ("'nmae' in model", "rocket.yaml:5", "hint: write name")),
        (HEAD + "  name: other\n" + PROFILE, ("'name' in model twice", "line 3", "rocket.yaml:5")),
        (
            HEAD + PROFILE.replace('"1"', "1", 1),
            ("tags.tp", "'1' stands where a string", 'write "1" in quotes'),
        ),
        (HEAD + PROFILE.replace('"1"', '"two"', 1), ("'two' as the tag tp", "rocket.yaml:6")),
        (
            HEAD + PROFILE.replace('tp: "1"', "tp: off"),
            ("disagree on what a bare off means", "rocket.yaml:7"),
        ),
        (HEAD + PROFILE.replace(ID, "a" * 63), ("does not match [0-9a-f]{64}", "rocket.yaml:6")),
        (
            HEAD + PROFILE.replace(f"- id: {ID}\n    tags", "- tags"),
            ("profiles 1: 'id' is missing", "rocket.yaml:6"),
        ),
        (HEAD + PROFILE + PROFILE.partition("\n")[2], (f"{ID} twice", "line 6", "rocket.yaml:8")),
        (HEAD + "profiles: []\n", ("without profiles", "rocket.yaml:1")),
        (HEAD, ("'profiles' is missing",)),
        (HEAD + "  max_model_len: 1e5\n" + PROFILE, ("bare 1e5", "rocket.yaml:5")),
        (HEAD + '  max_model_len: "4096"\n' + PROFILE, ("not a whole number", "write 4096 without quotes")),
        (HEAD + "  max_model_len: -1\n" + PROFILE, ("not above zero",)),
        (HEAD + "  max_model_len: true\n" + PROFILE, ("not a whole number",)),
        (HEAD + "  description: [a]\n" + PROFILE, ("a list stands where a string belongs",)),
        (
            HEAD + "engine: {args: {--max-num-seqs: 1}}\n" + PROFILE,
            ("'--max-num-seqs'", "write max-num-seqs"),
        ),
        (HEAD + "engine: {args: {max_num_seqs: 1}}\n" + PROFILE, ("'max_num_seqs'", "write max-num-seqs")),
        (HEAD + "engine: {args: {block-size: 0x10}}\n" + PROFILE, ("bare 0x10",)),
        (HEAD + f"engine: {{args: {{seed: {'9' * 5000}}}}}\n" + PROFILE, ("bare 9999",)),
        (HEAD + "engine: {args: {x: &a [1], y: *a}}\n" + PROFILE, ("anchor", "rocket.yaml:5")),
        (HEAD + "engine: {env: {A: 1}}\n" + PROFILE, ("engine.env.A", 'write "1" in quotes')),
        (HEAD + PROFILE + "    checkpoint: fp8\n", ("the checkpoint 'fp8'",)),
        (HEAD + PROFILE.replace("pp:", "variant: x, pp:"), ("the tag variant",)),
        (HEAD.replace("2.0.0", "3.1") + PROFILE, ("'3.1' as schema_version",)),
        ("model: [\n", ("as YAML", "rocket.yaml:2")),
        ("just text", ("not a mapping",)),
        ("", ("not a mapping",)),
        ("a: 1\n---\nb: 2\n", ("single document",)),
    ],
)
def test_wrong_manifest_is_refused_with_its_place(text: str, expected: tuple[str, ...]) -> None:
    message = refusal(text)
    assert message.startswith("cannot ")
    for words in expected:
        assert words in message


def test_every_kind_of_json_value_is_an_option() -> None:
    text = (
        HEAD
        + "engine: {args: {a: true, b: false, c: null, d: 1, e: 0.90, f: text, g: [1, two], h: {i: -1}}}\n"
    )
    (profile,) = read_manifest(text + PROFILE).profiles
    assert profile.engine.args == {
        "a": True,
        "b": False,
        "c": None,
        "d": 1,
        "e": 0.9,
        "f": "text",
        "g": [1, "two"],
        "h": {"i": -1},
    }


def test_quoted_words_stay_text() -> None:
    (profile,) = read_manifest(
        HEAD + "engine: {args: {a: 'off', b: \"1e3\", c: '1.10'}}\n" + PROFILE
    ).profiles
    assert profile.engine.args == {"a": "off", "b": "1e3", "c": "1.10"}


def test_manifest_of_another_maker_is_read() -> None:
    """Schema version 2 as others write it: no model, foreign engines, files with URIs."""
    manifest = read_manifest(
        f"""\
schema_version: 2.0.0
profile_selection_criteria: default
profiles:
  - id: {"b" * 64}
    tags:
      llm_engine: tensorrt_llm
      precision: fp8
      profile: latency
      tp: "4"
      gpu: H100
      gpu_device: 2330:10de
      feat_lora: "false"
    workspace:
      files:
        engine: {{uri: "ngc://acme/team/rocket/engine.bin"}}
        config: {{uri: "ngc://acme/team/rocket/config.json"}}
"""
    )
    (profile,) = manifest.profiles
    assert manifest.model is None
    assert profile.label == "tensorrt_llm-nvidia-h100-fp8-tp4-pp1-latency"
    assert profile.files["config"] == "ngc://acme/team/rocket/config.json"


def test_first_schema_version_is_read() -> None:
    manifest = read_manifest(
        f"""\
{"c" * 64}:
  model: acme/rocket
  release: 1.10
  tags:
    llm_engine: vllm
    precision: fp16
    tp: '8'
    feat_lora: 'true'
  container_url: registry.example/acme/rocket:1.0.0
  something_new: {{a: b}}
  workspace: !workspace
    components:
      - dst: ''
        src:
          repo_id: ngc://acme/rocket:1
          files:
            - !name 'README.md'
            - !name 'config.json'
"""
    )
    (profile,) = manifest.profiles
    assert manifest.schema_version == "1"
    assert profile.id == "c" * 64
    assert profile.label == "vllm-fp16-tp8-pp1-feat_lora"
    assert profile.files == {
        "README.md": "ngc://acme/rocket:1?file=README.md",
        "config.json": "ngc://acme/rocket:1?file=config.json",
    }


@pytest.mark.parametrize(
    ("tags", "engine"),
    [
        ("llm_engine: vllm, backend: triton", "vllm"),
        ("model_type: sglang", "sglang"),
        ("backend: triton", "tensorrt"),
        ("precision: bf16", None),
    ],
)
def test_three_tags_name_the_engine(tags: str, engine: str | None) -> None:
    (profile,) = read_manifest(f"{'c' * 64}: {{tags: {{{tags}}}}}").profiles
    assert profile.engine_name == engine


def test_source_beside_the_manifest(tmp_path: Path) -> None:
    file = tmp_path / "rocket.yaml"
    file.write_text(HEAD.replace("hf://acme/rocket", "rocket/model") + PROFILE)
    manifest = load_manifest(file)
    assert local_path(manifest, manifest.profiles[0].source or "") == str(tmp_path / "rocket/model")
    assert local_path(manifest, "hf://acme/rocket") is None
    assert local_path(manifest, "file:///models/rocket") == "/models/rocket"


def test_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="No such file"):
        load_manifest(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"model: \xe9\xff")
    with pytest.raises(ManifestError, match="not UTF-8"):
        load_manifest(tmp_path / "latin.yaml")


def test_python_parser_reads_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyYAML may be built without libyaml."""
    fast = read_manifest(HEAD + PROFILE)
    monkeypatch.setitem(__import__("sys").modules, "yaml._yaml", None)
    assert read_manifest(HEAD + PROFILE) == fast
    assert "rocket.yaml:2" in refusal("model: [\n")


NESTED = {
    "one line of lists": "a: " + "[" * 100_000,  # libyaml reads ahead and has a limit, too
    "one line of mappings": "a: " + "{" * 100_000,
    "both in turn": "a: " + "[{a: " * 100_000,
    "lists that are closed": "a: " + "[" * 40 + "]" * 40,
    "lists on many lines": "a: " + "[\n" * 5_000,
    "a block in a block": "\n".join(" " * depth + "a:" for depth in range(3_000)),
    "items in items": "- " * 5_000,
    "keys of keys": "? " * 5_000,
}


@pytest.mark.parametrize("fast", [True, False], ids=["libyaml", "python"])
@pytest.mark.parametrize("text", NESTED.values(), ids=NESTED)
def test_endless_nesting_is_refused(text: str, fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not fast:
        monkeypatch.setitem(sys.modules, "yaml._yaml", None)
    message = refusal(text)
    assert "nested deeper than 32 levels" in message
    assert re.search(r"\(rocket\.yaml:\d+\)", message)


def test_allowed_nesting_and_quoted_brackets_are_read() -> None:
    for text in ("a: " + "[" * 31 + "]" * 31, "a: '" + "[" * 5_000 + "'"):
        assert "unknown field" in refusal(text)


def test_an_endless_document_is_refused() -> None:
    assert "anchor" in refusal("a: &x [*x]")


SIGNS = ":-{}[]'\"#&*!|>?%@ \n\t\x00é"
PIECES = st.sampled_from([*SIGNS, "schema_version: 2", "profiles:", "\n  - ", "id: "])


@given(st.lists(PIECES | st.text(max_size=3), max_size=30).map("".join))
def test_nothing_but_a_refusal_comes_of_any_text(text: str) -> None:
    with pytest.raises(ManifestError):
        read_manifest(text)
