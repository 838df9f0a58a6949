"""An id is the hash of what a profile does."""

from dataclasses import replace
from pathlib import Path

from nim.manifest import Engine, Profile, load_manifest
from nim.manifest.find_problems import manifest_problems
from nim.manifest.profile_ids import content_id, write_ids, wrong_ids

PROFILE = Profile(
    id="0" * 64,
    tags={"llm_engine": "vllm", "precision": "bf16", "tp": "1", "pp": "1"},
    engine=Engine(args={"max-num-seqs": 4}, env={"A": "1"}),
    files={"checkpoint": "hf://acme/rocket"},
)
TEXT = """\
schema_version: 2.0.0
model: {name: acme/rocket, source: hf://acme/rocket}
profiles:
  # first
  - id: "0000000000000000000000000000000000000000000000000000000000000000" # stays
    tags: {llm_engine: vllm, precision: bf16, tp: "1"}

  - tags: {llm_engine: vllm, precision: bf16, tp: "2"}
    id: 0000000000000000000000000000000000000000000000000000000000000000
"""


def test_id_follows_what_the_profile_does() -> None:
    same = content_id("acme/rocket", PROFILE)
    assert len(same) == 64
    assert content_id("acme/rocket", replace(PROFILE, id="f" * 64, line=7)) == same
    assert content_id("acme/rocket", replace(PROFILE, download_gb=1.0, memory_gb=2.0)) == same
    others = [
        content_id("acme/other", PROFILE),
        content_id("acme/rocket", replace(PROFILE, tags={**PROFILE.tags, "tp": "2"})),
        content_id("acme/rocket", replace(PROFILE, engine=Engine(args={"max-num-seqs": 5}, env={"A": "1"}))),
        content_id("acme/rocket", replace(PROFILE, engine=Engine(args={"max-num-seqs": 4}))),
        content_id("acme/rocket", replace(PROFILE, files={"checkpoint": "hf://acme/other"})),
    ]
    assert len({same, *others}) == len(others) + 1


def test_id_does_not_follow_the_order_of_keys() -> None:
    turned = replace(PROFILE, tags=dict(reversed(list(PROFILE.tags.items()))))
    assert content_id("acme/rocket", turned) == content_id("acme/rocket", PROFILE)


def test_ids_are_written_and_nothing_else_changes(tmp_path: Path) -> None:
    path = tmp_path / "rocket.yaml"
    path.write_text(TEXT)
    assert any("is not that of its content" in problem for problem in manifest_problems(load_manifest(path)))
    assert write_ids(path) == 2
    manifest = load_manifest(path)
    assert wrong_ids(manifest) == ()
    written = path.read_text()
    for profile in manifest.profiles:
        written = written.replace(profile.id, "0" * 64)
    assert written == TEXT
    assert write_ids(path) == 0


def test_check_finds_profiles_with_the_same_label(tmp_path: Path) -> None:
    path = tmp_path / "rocket.yaml"
    path.write_text(TEXT.replace('tp: "2"', 'tp: "1", product_name_regex: "("'))
    problems = "\n".join(manifest_problems(load_manifest(path)))
    assert "2 profiles are called vllm-bf16-tp1-pp1" in problems
    assert "not a regular expression" in problems
