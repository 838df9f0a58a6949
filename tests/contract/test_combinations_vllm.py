"""vLLM itself refuses each refused combination, and accepts a similar one."""

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nim.data_paths import ROOT
from nim.engine import check_variable_values, find_engine, load_options, parse_arguments
from nim.engine.arguments.render import render_arguments
from nim.engine.option_table import Kind, Option
from nim.errors import SettingsError
from nim.models.read_lora_adapters import read_adapters
from nim.options.option_layers import entries
from nim.options.resolve_layers import resolve
from nim.options.rules.check_lora_adapters import check_adapters
from nim.options.rules.check_option_combinations import check_combinations
from nim.options.rules.rule_types import Said
from nim.value_origins import Layer, Origin, Value
from tests.unit.models.test_read_lora_adapters import adapter
from tests.unit.options.combination_cases import CASES, Case

VALUES = (
    *("1", "0", "true", "False", "yes", "", " ", " 1 ", "1.5", "-1", "1_000", "1e3", "inf", "nan", "8k"),
    *('"1"', "abc", "a,b", "none", "auto", "tcp://10.0.0.1:80", "{}", "/tmp/x", "٣"),
)
# Their readers take JSON or a file's name.
WITHOUT_ROW = ("VLLM_HUMMING_INPUT_QUANT_CONFIG", "VLLM_HUMMING_ONLINE_QUANT_CONFIG")
PLACE = "NIM_PASSTHROUGH_ARGS"
TABLE = load_options()
MODEL = ROOT / "profiles" / "demo" / "model"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.engine,
    pytest.mark.skipif(find_engine() is None, reason="vLLM is not installed"),
    pytest.mark.timeout(300),
]


class Judge:
    """The judge's process."""

    def __init__(self, process: "subprocess.Popen[str]", log: Path) -> None:
        self._process, self._log = process, log

    def refusal(self, tokens: list[str]) -> str | None:
        """Return what vLLM says against these arguments for the demo model; None where it would load it."""
        return self._asked({"tokens": [str(MODEL), *tokens]})

    def adapter_refusal(self, directory: Path, limit: int) -> str | None:
        """Return what it says against an adapter's files."""
        return self._asked({"adapter": str(directory), "limit": limit})

    def variable_refusal(self, name: str, value: str) -> str | None:
        """Return what it says against a variable's value."""
        return self._asked({"variable": name, "value": value})

    def _asked(self, request: dict[str, Any]) -> str | None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = self.read()
        assert answer is None or isinstance(answer, str)
        return answer

    def read(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the judge ended:\n{self._log.read_text()[-4000:]}"
        return json.loads(line)


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judge]:
    home = tmp_path_factory.mktemp("home")
    log = home / "judge.log"
    env = {"PATH": "/usr/bin:/bin", "HOME": str(home), "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    with (
        log.open("w") as errors,
        subprocess.Popen(
            [sys.executable, "-m", "tests.contract.config_judge"],
            cwd=ROOT,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        found = Judge(process, log)
        found.read()
        yield found
        process.kill()


def ours(tokens: list[str]) -> str | None:
    """Return what the launcher says against them."""
    values = parse_arguments(tokens, TABLE, place=PLACE).values
    said = Said(config=resolve(entries(Layer.PASSTHROUGH, PLACE, values)), table=TABLE, experts=0)
    try:
        check_combinations(said)
    except SettingsError as error:
        return str(error)
    return None


def test_vllm_takes_the_demo_model_as_it_is(judge: Judge) -> None:
    assert judge.refusal([]) is None


@pytest.mark.parametrize("one", CASES, ids=lambda one: one.bad)
def test_vllm_refuses_what_is_refused(judge: Judge, one: Case) -> None:
    if one.elsewhere:
        pytest.skip(one.elsewhere)
    refusal = judge.refusal(shlex.split(one.bad))
    assert refusal is not None
    assert one.theirs in refusal


@pytest.mark.parametrize("one", CASES, ids=lambda one: one.good)
def test_vllm_takes_what_is_taken_or_refuses_it_for_another_reason(judge: Judge, one: Case) -> None:
    refusal = judge.refusal(shlex.split(one.good))
    assert refusal is None or one.theirs not in refusal


def bounded() -> list[Option]:
    """Return the options with limits, except those of multimodal models only."""
    known = [one for one in TABLE.options.values() if one.limits.range_text()]
    return [one for one in known if not one.name.startswith(("mm_", "video_"))]


@pytest.mark.parametrize("option", bounded(), ids=lambda option: option.name)
def test_vllm_refuses_numbers_outside_their_limits(judge: Judge, option: Option) -> None:
    limits = option.limits
    low = limits.minimum if limits.minimum is not None else limits.exclusive_minimum
    assert low is not None
    outside = low - 1 if limits.minimum is not None else low
    text = f"{outside:g}" if option.kind is Kind.NUMBER else f"{outside:.0f}"
    needed = {"max_loras": ["--enable-lora"], "max_lora_cls_labels": ["--enable-lora"]}.get(option.name, [])
    refusal = judge.refusal([*needed, f"{option.flag}={text}"])
    assert refusal is not None


@pytest.mark.parametrize(
    ("config", "limit"),
    [
        *(({"r": rank}, limit) for rank in (8, 16, 17, 64) for limit in (16, 64)),
        ({"rank_pattern": {"q_proj": 64}}, 32),
        ({"rank_pattern": {"q_proj": 64}}, 64),
        *(({name: True}, 16) for name in ("use_dora", "lora_bias", "use_qalora", "use_rslora")),
        ({"bias": "all"}, 16),
        ({"init_lora_weights": "pissa"}, 16),
        ({"init_lora_weights": "gaussian"}, 16),
        ({"init_lora_weights": False}, 16),
        ({"modules_to_save": ["lm_head"]}, 16),
        ({"modules_to_save": ["score"]}, 16),
        ({"layer_replication": [[0, 4]]}, 16),
        ({"alora_invocation_tokens": [1]}, 16),
        *(({"r": rank}, 16) for rank in (-1, 0, "8", None, [8], 8.0, True, 64.0, float("inf"), float("nan"))),
        *(({"lora_alpha": alpha}, 16) for alpha in ("32", None, [1], True)),
        *(({"modules_to_save": modules}, 16) for modules in (5, 0, True, "score", {"score": 1}, [None], [])),
        *(({"rank_pattern": pattern}, 16) for pattern in (5, [1], "", "x", None, {"q": "8"}, {"q": 0})),
        *(({"rank_pattern": {"q": rank}}, 16) for rank in (8.0, True, 17)),
        *(({"bias": bias}, 16) for bias in (None, 5)),
    ],
)
def test_vllm_refuses_the_adapters_that_are_refused(
    judge: Judge, tmp_path: Path, config: dict[str, Any], limit: int
) -> None:
    values: dict[str, Any] = {"lora_modules": [f"a={adapter(tmp_path, **config)}"], "max_lora_rank": limit}
    said = Said(config=resolve(entries(Layer.PASSTHROUGH, PLACE, values)), table=TABLE)
    try:
        check_adapters(said, read_adapters(values["lora_modules"]), ())
        taken = True
    except SettingsError:
        taken = False
    refusal = judge.adapter_refusal(tmp_path, limit)
    assert taken == (refusal is None), refusal


# Options of the rules with a few values each, so that they meet.
_SMALL = st.integers(1, 4)
_DRAWN: dict[str, st.SearchStrategy[Any]] = {
    "enable_lora": st.just(True),
    "max_loras": _SMALL,
    "max_cpu_loras": _SMALL,
    "max_num_seqs": st.sampled_from([1, 4, 64, 256]),
    "max_num_active_seqs": st.sampled_from([1, 4, 64, 256]),
    "max_num_batched_tokens": st.sampled_from([1, 32, 64, 256, 2048]),
    "max_model_len": st.sampled_from([32, 64, 128]),
    "long_prefill_token_threshold": st.sampled_from([0, 32, 100]),
    "enable_chunked_prefill": st.booleans(),
    "enable_prefix_caching": st.booleans(),
    "mamba_block_size": st.sampled_from([16, 64]),
    "enable_log_outputs": st.just(True),
    "enable_log_requests": st.booleans(),
    "enable_auto_tool_choice": st.just(True),
    "tool_call_parser": st.sampled_from(["hermes", "openai"]),
    "offload_group_size": st.sampled_from([0, 2, 4]),
    "offload_num_in_group": st.sampled_from([1, 3]),
    "async_scheduling": st.booleans(),
    "enable_per_request_metrics": st.just(True),
    "disable_log_stats": st.just(True),
    "decode_context_parallel_size": st.sampled_from([1, 2]),
    "data_parallel_size": st.sampled_from([1, 2]),
    "data_parallel_size_local": st.sampled_from([1, 2]),
    "data_parallel_hybrid_lb": st.just(True),
    "per_request_spec_decode_metrics": st.sampled_from(["none", "summary"]),
    "spec_method": st.sampled_from(["ngram", "eagle3"]),
    "spec_tokens": _SMALL,
    "structured_outputs_config": st.fixed_dictionaries(
        {},
        optional={
            "backend": st.sampled_from(["xgrammar", "outlines"]),
            "disable_any_whitespace": st.booleans(),
        },
    ),
}


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.sampled_from(sorted(_DRAWN)), max_size=6, unique=True).flatmap(
        lambda names: st.fixed_dictionaries({name: _DRAWN[name] for name in names})
    )
)
def test_what_is_refused_is_what_vllm_refuses(judge: Judge, values: dict[str, Any]) -> None:
    """Both ways, for options that meet in any number; what follows from defaults is vLLM's alone."""
    tokens = list(render_arguments(values, TABLE))
    mine, theirs = ours(tokens), judge.refusal(tokens)
    assert mine is None or theirs is not None, (tokens, mine)
    if theirs is not None and mine is None:
        assert _follows_from_defaults(theirs), (tokens, theirs)


def _follows_from_defaults(refusal: str) -> bool:
    """Return whether a refusal follows from default batch sizes or the model, not from the options."""
    return any(
        words in refusal
        for words in (
            "max_num_batched_tokens",
            "max_num_seqs",
            "max_model_len",
            "does not have enough slots",
            "max_num_scheduled_tokens",
        )
    )


def variable_refused(name: str, value: str) -> bool:
    origin = Origin(layer=Layer.ENV, place=name)
    try:
        check_variable_values({name: Value(value=value, origin=origin)}, TABLE)
    except SettingsError as error:
        return str(error).startswith(f'cannot use {name} "')
    return False


def test_vllm_refuses_the_same_values_of_its_variables(judge: Judge) -> None:
    """Every variable with what people write into numbers, switches and names, and with its own choices."""
    names = sorted(name for name in TABLE.variables if name.startswith("VLLM_"))
    for name in names:
        own = [
            word
            for choice in TABLE.variable_values.get(name, {}).get("choices", ())
            for word in cases_of(choice)
        ]
        for value in [*VALUES, *own]:
            theirs = judge.variable_refusal(name, value)
            unknown = name in WITHOUT_ROW and theirs is not None
            assert unknown or variable_refused(name, value) == (theirs is not None), (name, value, theirs)


def cases_of(word: str) -> list[str]:
    return [word, word.upper(), word.lower(), f" {word}", f"{word},{word}"]
