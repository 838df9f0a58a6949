"""Small configurations of many kinds of models, and their selection."""

from collections.abc import Mapping
from typing import Any

from nim.hardware.types import Hardware
from nim.models.config.model_config import model_config
from nim.models.facts import ModelFacts, facts_of
from nim.models.generic_manifest import manifest_for_model
from nim.selection.fit_types import Wishes
from nim.selection.select import Selection, select
from tests.unit.selection.machines import wishing

GB = 10**9
SOURCE = "/models/rocket"
LLAMA_8B: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
    "rope_scaling": {"rope_type": "llama3", "factor": 8.0},
    "torch_dtype": "bfloat16",
}
LLAMA_70B: dict[str, Any] = LLAMA_8B | {
    "hidden_size": 8192,
    "intermediate_size": 28672,
    "num_hidden_layers": 80,
    "num_attention_heads": 64,
}
# 16.06 GB, 141.1 GB: their weights in 16 bits.
SIZES = {"8B": 16_060_522_240, "70B": 141_107_412_992}


def facts(config: Mapping[str, Any]) -> ModelFacts:
    return facts_of(model_config(config))


def brought(
    config: Mapping[str, Any], hardware: Hardware, wishes: Wishes | None = None, *, size: int | None = None
) -> Selection:
    """Return the selection for a model without a manifest, with weight files of this size in bytes."""
    wishes = wishes or wishing()
    known = facts(config)
    manifest = manifest_for_model(
        SOURCE,
        known,
        weights_bytes=size,
        tensor_parallel_size=wishes.size("tensor_parallel_size"),
        pipeline_parallel_size=wishes.size("pipeline_parallel_size"),
    )
    return select(manifest, hardware, wishes, {SOURCE: known})
