"""The option table and the argument parser agree with vLLM's own parser."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nim.data_paths import PROFILES, ROOT
from nim.engine.arguments.parser import check_values, parse_arguments
from nim.engine.arguments.render import render_arguments
from nim.engine.find_installed_engine import find_engine
from nim.engine.option_table import OPTIONS_DIR, Kind, load_options
from nim.errors import NimError, SettingsError
from nim.manifest import load_manifest
from nim.manifest.find import manifest_paths
from tests.golden.test_golden import cases, decided
from tests.unit.engine.strategies import sets_of_values, spoken

PLACE = "NIM_PASSTHROUGH_ARGS"
ENGINE = find_engine()
TABLE = load_options()
pytestmark = [
    pytest.mark.skipif(ENGINE is None, reason="vLLM is not installed"),
    pytest.mark.timeout(300),
]
# Objects whose inner values vLLM checks as well; drawn ones would not pass.
CONFIGS = frozenset(name for name, option in TABLE.options.items() if option.kind is Kind.CONFIG)
# Left to vLLM's own parser: values of configuration classes, and the choice that this build has not.
UNDRAWN = CONFIGS | {"mm_processor_device"}
many = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))


class Judge:
    """The judge's process."""

    def __init__(self, process: "subprocess.Popen[str]", log: Path) -> None:
        self._process, self._log = process, log
        self.table = self._read()

    def differences(self, tokens: list[str], values: dict[str, Any]) -> Any:
        """Return what vLLM makes of the tokens, where that is not these values."""
        questions = self._pipe(self._process.stdin)
        questions.write(json.dumps({"tokens": tokens, "values": values}) + "\n")
        questions.flush()
        return self._read()

    def _read(self) -> Any:
        line = self._pipe(self._process.stdout).readline()
        assert line, f"the judge ended:\n{self._log.read_text()[-4000:]}"
        return json.loads(line)

    @staticmethod
    def _pipe(pipe: IO[str] | None) -> IO[str]:
        assert pipe is not None
        return pipe


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judge]:
    home = tmp_path_factory.mktemp("home")
    log = home / "judge.log"
    with (
        log.open("w") as errors,
        subprocess.Popen(
            [sys.executable, "-m", "tests.unit.engine.judge"],
            cwd=ROOT,
            env={"PATH": "/usr/bin:/bin", "HOME": str(home), "PYTHONPATH": str(ROOT), "VLLM_PORT": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        yield Judge(process, log)
        process.kill()


@pytest.mark.slow
def test_the_committed_table_is_what_the_installed_vllm_makes(judge: Judge) -> None:
    """Byte for byte, and whatever the home directory and the VLLM_* variables are."""
    assert ENGINE is not None
    committed = OPTIONS_DIR / f"vllm-{ENGINE.version.partition('+')[0]}.json"
    assert judge.table == committed.read_text(encoding="utf-8"), "make engine-options"


@pytest.mark.slow
def test_the_check_finds_no_drift() -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "nim.engine.generate_option_table", "--check"],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=250,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stderr
    drift = json.loads(checked.stdout)
    assert drift["table"] == drift["installed"] == TABLE.version
    assert not any(drift[part] for part in ("added", "removed", "changed", "variables_added"))


@many
@given(values=sets_of_values(TABLE, without=UNDRAWN))
def test_vllm_reads_what_is_rendered_as_it_was(judge: Judge, values: dict[str, Any]) -> None:
    tokens = list(render_arguments(values, TABLE))
    assert judge.differences(tokens, values) == {"differ": {}}, tokens


@pytest.mark.slow
@many
@given(values=sets_of_values(TABLE, without=UNDRAWN), data=st.data())
def test_vllm_reads_every_spelling_as_parse_arguments_does(
    judge: Judge, values: dict[str, Any], data: st.DataObject
) -> None:
    tokens = [t for name, value in values.items() for t in data.draw(spoken(TABLE.options[name], value))]
    parsed = dict(parse_arguments(tokens, TABLE, place=PLACE).values)
    assert judge.differences(tokens, parsed) == {"differ": {}}, tokens


parts = st.tuples(
    st.sampled_from(["--hf-overrides", "--hf_overrides"]),
    st.lists(st.sampled_from(["a", "b_c", "d-e"]), min_size=1, max_size=3).map(".".join),
    st.sampled_from(["", "+"]),
    st.sampled_from(
        [
            "1",
            "-1",
            "0.5",
            "-x",
            "1k",
            "2K",
            "a,b",
            "",
            "007",
            "1_000",
            "null",
            "true",
            '{"a":1}',
            "[1]",
            "x.y",
        ]
    ),
    st.booleans(),
)


@many
@given(drawn=st.lists(parts, min_size=1, max_size=6))
def test_vllm_puts_objects_together_alike(judge: Judge, drawn: list[tuple[str, str, str, str, bool]]) -> None:
    tokens: list[str] = []
    for flag, path, adds, text, joined in drawn:
        said = f"{flag}.{path}{adds}"
        tokens += [f"{said}={text}"] if joined else [said, text]
    parsed = dict(parse_arguments(tokens, TABLE, place=PLACE).values)
    assert judge.differences(tokens, parsed) == {"differ": {}}, tokens


LINES = [
    "--max-model-len auto",
    "--max-model-len -1 --max_num_batched_tokens 25.6k --kv-cache-memory-bytes 2G",
    "-tp 2 -pp=3 -n2 -r 1 -dp 4 -qfp8 -asc 2",
    "-O3",
    "-O=1",
    "-O 2 --seed 1",
    "--seed 1 --seed 2 --enforce-eager --no-enforce-eager",
    "--quantization None --chat-template=",
    "--prefix-cache-retention-interval None",
    "--hf-token --seed 1",
    "--hf-token abc",
    "--collect-detailed-traces None model",
    "--device-ids 0,1,GPU-5f",
    "--moe-backend FlashInfer-TRTLLM --linear-backend MARLIN",
    "--middleware a --middleware b",
    "--lora-modules a=/b {\"name\":\"c\",\"path\":\"/d\"}",
    "--hf-overrides some.module",
    '--hf-overrides {"a":{"b":[1,2.5,null,true]}}',
    "--hf-overrides.a.b 1 --hf-overrides.a.c=x --hf_overrides.d+ 1,2 --hf-overrides.d+=3",
    "--hf-overrides.a.b 1 --hf-overrides.a.b 2 --hf-overrides.a null",
    '--hf-overrides {"z":1} --hf-overrides.y 80g',
    "--hf-overrides.y 1K --hf-overrides.w 1.5e3 --hf-overrides.v 007 --hf-overrides.u_v x-y",
    "--compilation-config.mode 3 -cc.cudagraph_mode NONE",
    "-cc.cudagraph_mode NONE --compilation_config.mode 3 -cc.custom_ops+ none -cc.custom_ops+=+relu,-gelu",
    '--compilation-config {"mode":3} -cc {"cudagraph_mode":"PIECEWISE"}',
    "--compilation-config.pass_config.fuse_norm_quant true",
    '--speculative-config {"method":"mtp","num_speculative_tokens":2}',
    "-sc.method mtp --speculative-config.num_speculative_tokens 2",
    "--speculative-config None",
    '--kv-transfer-config {"kv_connector":"X","kv_role":"kv_both","kv_port":15k}',
    "--kv-transfer-config.kv_connector X --kv-transfer-config.kv_role=kv_both -cc.mode=1",
    "--eplb-config.window_size 1k --structured-outputs-config.backend xgrammar",
    "--attention-config.backend FLASHINFER",
    "--profiler-config.profiler torch --profiler-config.torch_profiler_dir /x",
    '--kernel-config {} --reasoning-config {"reasoning_start_str":"<think>"}',
    "--logging-config.log_level DEBUG --log-level INFO",
    '--default-chat-template-kwargs {"enable_thinking":false} --allowed-origins ["*"]',
    "--additional-config x --additional-config {\"a\":1}",
    '--limit-mm-per-prompt {"image":2} --media-io-kwargs.video.num_frames 40',
    "--kv-cache-dtype nvfp4 --mamba-ssm-cache-dtype float16 --enable-mamba-cache-stochastic-rounding",
    "--enable-auto-tool-choice --tool-call-parser qwen3_coder --reasoning-parser nemotron_v3",
]  # fmt: skip


@pytest.mark.parametrize("line", LINES)
def test_vllm_agrees_on(judge: Judge, line: str) -> None:
    tokens = line.split(" ")
    parsed = parse_arguments(tokens, TABLE, place=PLACE)
    assert parsed.values
    assert judge.differences(tokens, dict(parsed.values)) == {"differ": {}}
    # And once more, as the launcher would say it.
    said = list(render_arguments(parsed.values, TABLE))
    explicit = {name: value for name, value in parsed.values.items() if value is not None or said}
    assert judge.differences(said, explicit) == {"differ": {}}


def test_every_key_is_one_that_vllm_takes_and_no_other_is(judge: Judge) -> None:
    """A wrong key is refused by vLLM's own parser, too, where the table says the keys are all it takes."""
    for option in (TABLE.options[name] for name in sorted(CONFIGS)):
        answer = judge.differences([option.flag, '{"no_such_key":1}'], {})
        assert "no_such_key" in answer["refused"]
        for key in option.keys:
            answer = judge.differences([option.flag, json.dumps({key: None})], {})
            assert "unexpected_keyword" not in answer.get("refused", ""), (option.flag, key)


@pytest.mark.parametrize(
    "line",
    [
        "--max-modle-len 1",
        "--seed x",
        "--seed 1.8e+06",
        "--seed",
        "--seed --enforce-eager",
        "--enforce-eager=true",
        "--enforce-eager true",
        "--dtype fp9",
        "--max-lora-rank 3",
        "--max-model-len 1.5K",
        "--task generate",
        "--swap-space 4",
        "--speculative-config {method:mtp",
        "--hf-overrides {a:b}x}",
        "-O",
        "x",
    ],
)
def test_what_vllm_refuses_is_refused(judge: Judge, line: str) -> None:
    tokens = line.split(" ")
    assert "refused" in judge.differences(tokens, {})
    with pytest.raises(SettingsError):
        parse_arguments(["some/model", *tokens], TABLE, place=PLACE)


def test_the_judge_would_say_no(judge: Judge) -> None:
    assert judge.differences(["--seed", "1"], {"seed": 2}) == {"differ": {"seed": "1"}}
    assert judge.differences(["--seed", "1"], {}) == {"differ": {"seed": "1"}}


@pytest.mark.parametrize("folder", cases(), ids=lambda folder: folder.name)
def test_each_golden_command_means_to_vllm_what_it_means_to_us(judge: Judge, folder: Path) -> None:
    try:
        plan, _ = decided(yaml.safe_load((folder / "case.yaml").read_text(encoding="utf-8")), folder)
    except NimError:
        return  # the golden case itself says what is refused
    values = {name: value.value for name, value in plan.config.items() if not name.isupper()}
    assert plan.engine.argv[:2] == ("vllm", "serve")
    said = {name: value for name, value in values.items() if value is not None and value is not False}
    assert judge.differences(list(plan.engine.argv[3:]), said) == {"differ": {}}
    for token in plan.engine.argv[3:]:
        assert not token.startswith("--") or TABLE.find(token.partition("=")[0]) is not None


@pytest.mark.parametrize("path", manifest_paths(PROFILES), ids=lambda path: path.stem)
def test_each_profile_is_known_to_vllm(judge: Judge, path: Path) -> None:
    for profile in load_manifest(path).profiles:
        values = check_values(profile.engine.args, TABLE, place=path.name).values
        tokens = render_arguments(values, TABLE)
        said = {name: value for name, value in values.items() if value is not False}
        assert judge.differences(list(tokens), said) == {"differ": {}}, profile.label
