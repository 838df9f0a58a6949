"""Models with options that the engine refuses, beside those that it takes: a model, a change, a line."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.oracle.models import CORPUS

Config = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class StartCase:
    """A model of the corpus, changed, with a line of options, on one GPU of a capability.

    `theirs` is in the engine's refusal and `ours` in the launcher's; None where both take the start.
    `changes` of None remove a field. `beside` are other JSON files of the model's directory.
    """

    model: str
    line: str = ""
    changes: Config = field(default_factory=dict)
    beside: Config = field(default_factory=dict)
    capability: str = "9.0"
    theirs: str | None = None
    ours: str | None = None

    @property
    def name(self) -> str:
        """Return what distinguishes it."""
        written = (json.dumps(part, separators=(",", ":")) for part in (self.changes, self.beside) if part)
        parts = (self.model, *written, self.line, self.capability)
        return " ".join(part for part in parts if part)

    def write(self, directory: Path) -> Path:
        """Write the model into `directory`, without weights, and return it."""
        for path in (CORPUS / self.model).glob("*.json"):
            (directory / path.name).write_bytes(path.read_bytes())
        values = json.loads((directory / "config.json").read_bytes()) | dict(self.changes)
        values = {name: value for name, value in values.items() if value is not None}
        for name, content in {"config.json": values, **self.beside}.items():
            (directory / name).write_text(json.dumps(content))
        return directory


def taken(model: str, line: str = "", **rest: Any) -> StartCase:
    """Return a start that both take."""
    return StartCase(model=model, line=line, **rest)


def refused(model: str, line: str, theirs: str, ours: str, **rest: Any) -> StartCase:
    """Return a start that both refuse."""
    return StartCase(model=model, line=line, theirs=theirs, ours=ours, **rest)


def quantized(**values: Any) -> dict[str, Any]:
    """Return the change of a model to a quantized one."""
    return {"quantization_config": values}


def _gptq(**values: Any) -> dict[str, Any]:
    plain = {"bits": 4, "group_size": 128, "desc_act": False, "sym": True}
    return quantized(**{"quant_method": "gptq", **plain, **values})


def _awq(**values: Any) -> dict[str, Any]:
    return quantized(**{"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True, **values})


def _round(**values: Any) -> dict[str, Any]:
    plain = {"bits": 4, "group_size": 128, "sym": True, "packing_format": "auto_round:auto_gptq"}
    return quantized(**{"quant_method": "auto-round", **plain, **values})


def _compressed(layout: str, inputs: Config | None = None, **weights: Any) -> dict[str, Any]:
    plain = {"num_bits": 4, "type": "int", "group_size": 128, "symmetric": True, "strategy": "group"}
    group = {"targets": ["Linear"], "weights": {**plain, **weights}, "input_activations": inputs}
    groups = {"group_0": group}
    return quantized(
        quant_method="compressed-tensors", format=layout, config_groups=groups, ignore=["lm_head"]
    )


_PACKED, _INTEGERS = "pack-quantized", "int-quantized"
_BY_TOKEN = {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "token", "dynamic": True}
_BY_CHANNEL = {"num_bits": 8, "strategy": "channel", "group_size": None}
_FP8_CACHE = {"num_bits": 8, "type": "float", "strategy": "tensor", "dynamic": False, "symmetric": True}
_WINDOW = {"use_sliding_window": True, "sliding_window": 4096}
_PLAIN, _BERT, _LLAVA = "llama-plain", "bert-embedder", "llava-next"
_MLA, _MAMBA = "deepseek-v2-without-q-lora", "mamba2-attention-free"
_NO_LORA = "does not support LoRA yet"
_UNSAID = "Cannot find any of"
_TOO_MANY = "must be greater than or equal to max_num_seqs"
_E5M2 = "fp8_e5m2 kv-cache is not supported with fp8 checkpoints"
_NOT_VALID = "is not valid for this configuration"
_ANY_BUT_LORA = ("gpt2-25-heads", "falcon-one-kv-head", "bloom-alibi", "bert-reranker")
_BESIDE = {"producer": {"name": "modelopt"}}

ADAPTERS = (
    taken(_PLAIN, "--enable-lora"),
    taken("whisper-encoder-decoder", "--enable-lora"),
    taken("gpt-neox-by-transformers", "--enable-lora"),
    taken("gpt2-25-heads", "--enable-lora --model-impl transformers"),
    *(refused(model, "--enable-lora", _NO_LORA, "has no LoRA for") for model in _ANY_BUT_LORA),
    refused(_MAMBA, "--enable-lora", "is_lora_enabled", "has no LoRA for Mamba2ForCausalLM"),
)
QUANTIZATIONS = (
    *(taken(_PLAIN, changes=_gptq(bits=bits)) for bits in (4, 8)),
    *(taken(_PLAIN, changes=_gptq(group_size=size)) for size in (-1, 32, 64)),
    taken(_PLAIN, changes=_gptq(desc_act=True, group_size=-1)),
    *(refused(_PLAIN, "", "Unsupported", '"bits"', changes=_gptq(bits=bits)) for bits in (2, 3)),
    refused(_PLAIN, "", "sym=False", '"sym" false', changes=_gptq(sym=False)),
    refused("mixtral-gptq", "", "sym=False", '"sym" false', changes=_gptq(sym=False)),
    *(
        refused(_PLAIN, "", "Marlin does not support", f'"group_size" {size}', changes=_gptq(group_size=size))
        for size in (0, 16, 256)
    ),
    refused(_PLAIN, "", "no longer supported", '"desc_act" true', changes=_gptq(desc_act=True)),
    refused(
        _PLAIN,
        "",
        _UNSAID,
        'does not say "sym"',
        changes=quantized(quant_method="gptq", bits=4, group_size=128, desc_act=False),
    ),
    *(taken(_PLAIN, changes=_awq(group_size=size)) for size in (-1, 16, 64)),
    taken(_PLAIN, changes=_awq(zero_point=False)),
    refused(_PLAIN, "", "Unsupported num_bits", '"bits" 8', changes=_awq(bits=8)),
    refused(
        _PLAIN,
        "",
        _UNSAID,
        'does not say "zero_point"',
        changes=quantized(quant_method="awq", bits=4, group_size=128),
    ),
    taken(_PLAIN, changes=_round()),
    taken(_PLAIN, changes=_round(sym=False, packing_format="auto_round:auto_awq")),
    refused(_PLAIN, "", "is not supported", '"sym" false', changes=_round(sym=False)),
    refused(_PLAIN, "", "is not supported", '"group_size" 48', changes=_round(group_size=48)),
    refused(
        _PLAIN, "", "Unsupported packing_format", '"packing_format" x', changes=_round(packing_format="x")
    ),
    refused(
        _PLAIN,
        "",
        "only supports",
        "integers are packed as",
        changes=_round(packing_format="auto_round:fp8"),
    ),
    *(
        taken(_PLAIN, changes=quantized(quant_method="fp8", activation_scheme=s))
        for s in ("static", "dynamic")
    ),
    refused(_PLAIN, "", _UNSAID, '"activation_scheme"', changes=quantized(quant_method="fp8")),
    refused(
        _PLAIN,
        "",
        "Unsupported activation scheme",
        '"activation_scheme" token',
        changes=quantized(quant_method="fp8", activation_scheme="token"),
    ),
    refused(
        _PLAIN,
        "",
        "only supports dynamic",
        "blocks need dynamic",
        changes=quantized(quant_method="fp8", activation_scheme="static", weight_block_size=[128, 128]),
    ),
    refused(
        _PLAIN,
        "",
        "must have 2 dimensions",
        "1 sizes, not 2",
        changes=quantized(quant_method="fp8", activation_scheme="dynamic", weight_block_size=[128]),
    ),
    *(taken(_PLAIN, changes=_compressed(_PACKED, **one)) for one in ({}, {"symmetric": False}, _BY_CHANNEL)),
    taken(_PLAIN, changes=_compressed(_PACKED, actorder="static")),
    taken(_PLAIN, changes=_compressed(_INTEGERS, _BY_TOKEN, **_BY_CHANNEL)),
    *(
        refused(
            _PLAIN,
            "",
            "no longer supported",
            "order of activations",
            changes=_compressed(_PACKED, actorder=actorder),
        )
        for actorder in ("group", "dynamic")
    ),
    *(
        refused(
            _PLAIN, "", "No compressed-tensors compatible scheme", f'"format" {f}', changes=_compressed(f)
        )
        for f in ("marlin-24", "packed")
    ),
    *(
        refused(
            _PLAIN,
            "",
            "No compressed-tensors compatible scheme",
            "kernels for symmetric ones by channel",
            changes=_compressed(_INTEGERS, _BY_TOKEN, **weights),
        )
        for weights in ({"num_bits": 8}, {**_BY_CHANNEL, "symmetric": False})
    ),
    refused(
        _PLAIN,
        "",
        "Sparsity support has been removed",
        "sparse weights",
        changes=quantized(
            quant_method="compressed-tensors",
            format="dense",
            ignore=[],
            config_groups={},
            sparsity_config={
                "format": "sparse-24-bitmask",
                "sparsity_structure": "2:4",
                "targets": ["Linear"],
            },
        ),
    ),
    *(
        taken(_PLAIN, changes=quantized(quant_method="modelopt", quant_algo=algorithm))
        for algorithm in ("FP8", "NVFP4", "MXFP8", "FP8_PB_WO")
    ),
    *(
        refused(
            _PLAIN,
            "",
            "currently only supports",
            f'"quant_algo" {algorithm}',
            changes=quantized(quant_method="modelopt", quant_algo=algorithm),
        )
        for algorithm in ("INT4_AWQ", "W4A8_AWQ")
    ),
    refused(_PLAIN, "", "Missing 'quant_algo'", '"quant_algo"', changes=quantized(quant_method="modelopt")),
    refused(
        _PLAIN,
        "",
        "requires a non-empty 'quantized_layers'",
        'without "quantized_layers"',
        changes=quantized(quant_method="modelopt", quant_algo="MIXED_PRECISION", quantized_layers={}),
    ),
    taken(
        _PLAIN,
        beside={"hf_quant_config.json": {**_BESIDE, "quantization": {"quant_algo": "FP8"}}},
    ),
    *(
        refused(
            _PLAIN,
            "",
            "Unknown ModelOpt quant algo",
            f'"quant_algo" {algorithm} beside config.json',
            beside={"hf_quant_config.json": {**_BESIDE, "quantization": {"quant_algo": algorithm}}},
        )
        for algorithm in ("MIXED_PRECISION", "MXFP8", "W4A16_NVFP4")
    ),
    refused(
        _PLAIN,
        "",
        "The export key should be included",
        '"export"',
        changes=quantized(quant_method="quark", global_quant_config={"weight": {"dtype": "fp8_e4m3"}}),
    ),
    refused(
        _PLAIN,
        "--allow-deprecated-quantization",
        _UNSAID,
        '"modules_to_not_convert"',
        changes=quantized(quant_method="fbgemm_fp8"),
    ),
)
_ASKED_FOR = ("awq", "gptq", "auto_gptq", "modelopt", "modelopt_fp4", "modelopt_mxfp8", "moe_wna16", "inc")
_INCOMPLETE = ("compressed-tensors", "torchao", "quark", "online")
PLAIN_WEIGHTS = (
    *(
        taken(_PLAIN, f"--quantization {name}")
        for name in ("fp8", "fp8_per_block", "mxfp8", "mxfp4", "int8_per_channel_weight_only", "experts_int8")
    ),
    *(
        refused(_PLAIN, f"--quantization {name}", "Cannot find the config file", "nothing says that they are")
        for name in _ASKED_FOR
    ),
    *(
        refused(_PLAIN, f"--quantization {name}", "missing", "nothing says that they are")
        for name in _INCOMPLETE
    ),
    taken(
        _PLAIN,
        "--quantization awq",
        beside={"quant_config.json": {"w_bit": 4, "q_group_size": 128, "zero_point": True}},
    ),
    refused(
        _PLAIN,
        "--quantization awq",
        "Found multiple config files",
        "both say how they are quantized",
        beside={
            name: {"w_bit": 4, "q_group_size": 128, "zero_point": True}
            for name in ("quant_config.json", "quantize_config.json")
        },
    ),
)
BATCHES = (
    taken(_PLAIN, "--max-num-seqs 8192"),
    taken(_PLAIN, "--max-num-seqs 9000 --performance-mode throughput"),
    taken(
        _PLAIN,
        "--max-num-seqs 9000 --no-enable-chunked-prefill --max-model-len 9000",
        changes={"max_position_embeddings": 16384},
    ),
    refused(_PLAIN, "--max-num-seqs 8193", _TOO_MANY, "tokens of a step, 8192"),
    refused(
        _PLAIN, "--max-num-seqs 20000 --performance-mode throughput", _TOO_MANY, "tokens of a step, 16384"
    ),
    refused(_PLAIN, "--max-num-seqs 2049", _TOO_MANY, "tokens of a step, 2048", capability="7.5"),
    refused("glm4v", "--max-num-seqs 20000", _TOO_MANY, "tokens of a step, 8192"),
    refused(_BERT, "--max-num-seqs 20000", _TOO_MANY, "tokens of a step, 8192"),
    refused("whisper-encoder-decoder", "--max-num-seqs 20000", _TOO_MANY, "tokens of a step, 8192"),
)
CACHES = (
    *(
        taken(_PLAIN, f"--kv-cache-dtype fp8_e5m2 {line}")
        for line in ("", "--quantization fp8", "--quantization mxfp8")
    ),
    taken(_PLAIN, "--kv-cache-dtype fp8_e5m2", changes=_gptq()),
    taken(_PLAIN, "--kv-cache-dtype fp8_e5m2", changes=_compressed(_PACKED)),
    taken("llama-fp8-tensor", "--kv-cache-dtype fp8"),
    *(
        refused(model, "--kv-cache-dtype fp8_e5m2", _E5M2, "the checkpoint is quantized by")
        for model in (
            *("llama-fp8-tensor", "llama-modelopt-fp8", "llama-modelopt-nvfp4", "llama-modelopt-mxfp8"),
            *("llama-w8a8-kv-fp8", "qwen3-moe-fp8-blocks"),
        )
    ),
)
BACKENDS = (
    *(
        taken(_PLAIN, f"--attention-backend {name}")
        for name in ("FLASH_ATTN", "flashinfer", "TRITON_ATTN", "auto")
    ),
    taken(_MLA, "--attention-backend FLASHMLA"),
    taken(_PLAIN, "--attention-backend TRITON_ATTN", capability="7.5"),
    taken(_MAMBA, "--attention-backend FLASH_ATTN", capability="7.5"),
    *(
        refused(_PLAIN, line, _NOT_VALID, "compute capability 8.0", capability="7.5")
        for line in (
            "--attention-backend FLASH_ATTN",
            "--attention-backend flashinfer",
            "--attention-config.backend FLASH_ATTN",
        )
    ),
    refused(_MLA, "--attention-backend CUTLASS_MLA", _NOT_VALID, "compute capability 10.0 or 10.3"),
    refused(_MLA, "--attention-backend FLASH_ATTN", _NOT_VALID, "is for attention, and the model has mla"),
    refused(_PLAIN, "--attention-backend FLASHMLA", _NOT_VALID, "is for mla, and the model has attention"),
    refused("jamba", "--attention-backend FLASHMLA", _NOT_VALID, "is for mla, and the model has attention"),
)
TYPES = (
    *(taken(_PLAIN, f"--dtype {name}") for name in ("float32", "half")),
    taken(_PLAIN, "--dtype float16 --quantization mxfp8"),
    taken("gemma3-five-to-one", "--dtype bfloat16"),
    *(
        refused(_PLAIN, f"--dtype {name}", "is not supported for quantization", "weights by", changes=changes)
        for name, changes in (
            ("float32", _gptq()),
            ("float", quantized(quant_method="fp8", activation_scheme="dynamic")),
            ("float16", quantized(quant_method="modelopt", quant_algo="MXFP8")),
        )
    ),
    refused(_PLAIN, "--dtype float32 --quantization fp8", "is not supported", "weights by fp8"),
    refused("gpt-oss-mxfp4", "--dtype float16", "is not supported", "weights by gpt_oss_mxfp4"),
    refused("gemma3-five-to-one", "--dtype half", "does not support float16", "gemma3_text is unstable"),
    *(
        refused(
            _PLAIN,
            f"--attention-backend {backend} --kv-cache-dtype {cache}",
            "kv_cache_dtype not supported",
            f"--attention-backend {backend}",
        )
        for backend, cache in (
            ("FLASH_ATTN", "fp8_e5m2"),
            ("FLEX_ATTENTION", "fp8"),
            ("TRITON_ATTN", "nvfp4"),
            ("TURBOQUANT", "fp8"),
        )
    ),
    *(
        taken(_PLAIN, f"--attention-backend {backend} --kv-cache-dtype {cache}")
        for backend, cache in (("FLASH_ATTN", "fp8"), ("TRITON_ATTN", "fp8_e5m2"), ("FLASHINFER", "fp8"))
    ),
)
_NO_BACKEND = "No valid attention backend"
BLOCKS = (
    *(taken(_PLAIN, f"--block-size {size}") for size in (16, 48)),
    taken(_MAMBA, "--block-size 8"),
    refused(_PLAIN, "--block-size 24", _NO_BACKEND, "no multiple of 16"),
    refused(_PLAIN, "--block-size 8", _NO_BACKEND, "no multiple of 16", capability="7.5"),
    *(refused(model, "--block-size 8", _NO_BACKEND, "no multiple of 16") for model in (_MLA, "jamba")),
)
RUNNERS = (
    taken(_PLAIN, "--runner pooling"),
    taken("jamba", "--runner pooling"),
    taken("llama-sequence-classifier", "--runner generate"),
    refused(_BERT, "--runner generate", "do not support `--runner generate`", "is a pooling model"),
    refused("bert-reranker", "--runner generate", "do not support", "is a pooling model"),
    refused(
        _PLAIN,
        "--runner pooling --convert none",
        "does not support `--runner pooling`",
        "LlamaForCausalLM generates",
    ),
)
MEDIA = (
    *(
        taken(_LLAVA, f"--limit-mm-per-prompt.{rest}")
        for rest in ("image 0", "image.count 2", 'image "2"', "foo 1")
    ),
    taken(_PLAIN, "--limit-mm-per-prompt.image=-1"),
    *(
        refused(_LLAVA, f"--limit-mm-per-prompt.{rest}", theirs, ours)
        for rest, theirs, ours in (
            ("image=-1", "greater than or equal to 0", "count -1 is below 0"),
            ("image.count=-1", "greater than or equal to 0", "count -1 is below 0"),
            ("image=1.5", "valid integer", "1.5 is not a whole number"),
            ("image=x", "valid integer", "x is not a whole number"),
        )
    ),
    refused(_PLAIN, "--limit-mm-per-prompt.image=x", "valid integer", "x is not a whole number"),
)
LAYERS = (
    *(
        taken("qwen2-window-in-upper-layers", changes={"max_window_layers": count, **_WINDOW})
        for count in (0, 4, 28)
    ),
    taken("qwen2-window-in-upper-layers", changes={"use_sliding_window": False}),
    refused("qwen2-window-in-upper-layers", "", "some but all layers", '"max_window_layers" 2'),
    refused(
        "qwen2.5-vl",
        "",
        "some but all layers",
        '"max_window_layers" 1',
        changes={"max_window_layers": 1, **_WINDOW},
    ),
)
CONTEXTS = (
    taken(_MAMBA, "--max-model-len 32768"),
    taken("mamba-attention-free", "--max-model-len 4096"),
    refused(_PLAIN, "--max-model-len 32768", "greater than the derived max_model_len", "takes at most 8192"),
)
CASES = (
    *(
        *ADAPTERS,
        *QUANTIZATIONS,
        *PLAIN_WEIGHTS,
        *BATCHES,
        *CACHES,
        *BACKENDS,
        *TYPES,
        *BLOCKS,
        *RUNNERS,
        *MEDIA,
    ),
    *(*LAYERS, *CONTEXTS),
)
