"""Variables of other NIM releases produce a warning with the replacement."""

import re

import pytest

from nim.engine import load_options, parse_arguments, tokenize
from nim.settings import declared, read_settings
from nim.settings.declared import IGNORED, NOT_SUPPORTED, REFUSED
from nim.settings.variables_of_other_releases import OTHER_RELEASES

TABLE = load_options()
OURS = {name for setting in declared().values() for name in setting.names}


@pytest.mark.parametrize(
    ("name", "text", "instead"),
    [
        ("NIM_LOW_MEMORY_MODE", "1", "NIM_MAX_MODEL_LEN=auto"),
        ("NIM_RELAX_MEM_CONSTRAINTS", "1", "NIM_MODEL_PROFILE=…"),
        ("NIM_ENABLE_KV_CACHE_REUSE", "1", "nothing: prefix caching is on"),
        ("NIM_ENABLE_KV_CACHE_REUSE", "0", "NIM_PASSTHROUGH_ARGS=--no-enable-prefix-caching"),
        ("NIM_GUIDED_DECODING_BACKEND", "outlines", "'--structured-outputs-config.backend outlines'"),
        ("NIM_FORCE_DETERMINISTIC", "1", "VLLM_BATCH_INVARIANT=1"),
        ("NIM_MAX_NUM_BATCHED_TOKENS", "8192", "'--max-num-batched-tokens 8192'"),
        ("NIM_MAX_IMAGES_PER_PROMPT", "4", """'--limit-mm-per-prompt {"image":4}'"""),
        ("NIM_ENGINE_MODEL_DOWNLOAD_ONLY", "1", "`nim fetch`"),
    ],
)
def test_each_is_named_with_what_replaces_it(name: str, text: str, instead: str) -> None:
    (warning,) = read_settings({name: text}).warnings
    assert warning.startswith(f"{name} is a variable of NIM ")
    assert instead in warning
    assert "did you mean" not in warning


@pytest.mark.parametrize("name", ["NIM_LOW_MEMORY_MODE", "NIM_FORCE_DETERMINISTIC", "NIM_USE_SGLANG"])
@pytest.mark.parametrize("off", ["0", "false", "None"])
def test_what_is_switched_off_asks_for_nothing(name: str, off: str) -> None:
    assert read_settings({name: off}).warnings == () or not OTHER_RELEASES[name].switch


def test_an_exact_equivalent_works_under_its_older_name() -> None:
    settings = read_settings({"NIM_MAX_NUM_SEQS": "32", "NIM_GPU_MEMORY_UTILIZATION": "0.8"})
    assert (settings.max_batch_size, settings.kv_cache_percent) == ("32", "0.8")
    assert settings.warnings == (
        "NIM_GPU_MEMORY_UTILIZATION is an older name: use NIM_KVCACHE_PERCENT",
        "NIM_MAX_NUM_SEQS is an older name: use NIM_MAX_BATCH_SIZE",
    )


def test_none_is_also_something_else() -> None:
    assert not set(OTHER_RELEASES) & {*OURS, *NOT_SUPPORTED, *REFUSED, *IGNORED}


@pytest.mark.parametrize("name", OTHER_RELEASES)
def test_what_is_to_be_used_instead_exists(name: str) -> None:
    values = {"NIM_COMPILATION_CONFIG": "{}", "NIM_MEDIA_IO_KWARGS": "{}", "NIM_MM_PROCESSOR_KWARGS": "{}"}
    values |= {"NIM_MM_ENCODER_TP_MODE": "data", "NIM_VIDEO_PRUNING_METHOD": "evs"}
    values |= {"NIM_VIDEO_PRUNING_RATE": "0.5", "NIM_GUIDED_DECODING_BACKEND": "xgrammar"}
    for text in (OTHER_RELEASES[name].use, OTHER_RELEASES[name].off or ""):
        use = text.replace("{}", values.get(name, "4")).replace("GIB", "4").replace("BYTES", "4G")
        variables = set(re.findall(r"\b(NIM_[A-Z_]+)\b", use))
        assert variables <= OURS
        for variable in re.findall(r"\b(VLLM_[A-Z_]+)\b", use):
            assert variable in TABLE.variables
        for line in re.findall(r"NIM_PASSTHROUGH_ARGS=(?:'([^']*)'|(\S+))", use):
            words = "".join(line).replace("size N", "size 2").rstrip(",")
            assert parse_arguments(tokenize(words, place="a hint"), TABLE, place="a hint").values
