"""Properties of model families that are in the engine's code and not in the configuration."""

from collections.abc import Mapping

from nim.frozen_dataclass import frozen_dataclass
from nim.models.config.model_config import ModelConfig


@frozen_dataclass
class Family:
    """Names of a layer's parts, and shapes of their weights. The defaults are those of Llama."""

    attention: str = "self_attn"
    feed_forward: str = "mlp"
    sparse: str | None = None  # of layers with experts, where they have another name
    experts: str | None = None  # path of the experts below the layer, where it is not below `feed_forward`
    shared: str = "shared_experts"
    mixer: str = "mixer"
    gated: bool = True  # the feed-forward network has a gate beside the way up
    gated_queries: bool = False  # queries come with a gate of the same size
    output_gate: bool = False  # a module of its own gates what attention gives
    repeats_kv_heads: bool = True  # ranks beyond the KV heads hold a copy
    least_expert_width: int = 0  # on a rank
    shared_blocks: int = 1  # the shared expert is split in whole blocks of this many channels
    feeds_forward: bool = True
    splits_feed_forward: bool = True
    shares_attention: bool = False  # between layers: it is counted once
    one_part: bool = False  # a layer is a mixer, attention or a feed-forward network, never two of them


_PLAIN_GPT = Family(attention="attn", gated=False)
_UNGATED = Family(gated=False)
_SPARSE_BLOCK = Family(sparse="block_sparse_moe")
_QWEN_MOE = Family(shared="shared_expert")
_QWEN_NEXT = Family(shared="shared_expert", mixer="linear_attn", gated_queries=True)
_FAMILIES: Mapping[str, Family] = {
    **dict.fromkeys(("gpt2", "gpt-sw3", "gptj", "gpt_neo", "codegen"), _PLAIN_GPT),
    **dict.fromkeys(("opt", "bloom", "falcon", "mpt", "phi", "gpt_neox", "starcoder2", "nemotron"), _UNGATED),
    **dict.fromkeys(
        ("apertus", "arcee", "persimmon", "biogpt", "xglm", "whisper", "bert", "roberta"), _UNGATED
    ),
    **dict.fromkeys(("xlm-roberta", "jais2"), _UNGATED),
    **dict.fromkeys(
        ("mixtral", "minimax_m2", "minimax", "phimoe", "granitemoe", "granitemoehybrid"), _SPARSE_BLOCK
    ),
    "kimi_linear": Family(sparse="block_sparse_moe", least_expert_width=256),
    **dict.fromkeys(("minimax_m3", "minimax_m3_vl_text", "minimax_m3_text"), _SPARSE_BLOCK),
    **dict.fromkeys(("qwen2_moe", "qwen3_moe"), _QWEN_MOE),
    **dict.fromkeys(("qwen3_next", "qwen3_5_text", "qwen3_5_moe_text"), _QWEN_NEXT),
    **dict.fromkeys(("mamba", "mamba2", "falcon_mamba"), Family(feeds_forward=False)),
    **dict.fromkeys(("afmoe", "muse_glimmer_text"), Family(output_gate=True)),
    "deepseek_v4": Family(attention="attn", feed_forward="ffn", shared_blocks=128),
    "gpt_bigcode": Family(attention="attn", gated=False, splits_feed_forward=False),
    "gemma4_text": Family(experts="experts"),
    "gemma4_unified_text": Family(experts="experts"),
    "zamba2": Family(mixer="mamba", feeds_forward=False, shares_attention=True),
    "gpt_oss": Family(attention="attn", repeats_kv_heads=False),
    "llama4_text": Family(feed_forward="feed_forward", shared="shared_expert"),
    "nemotron_h": Family(attention="mixer", feed_forward="mixer", gated=False, one_part=True),
}


def family_of(config: ModelConfig) -> Family:
    """Return the `Family` of the language part's model type; Llama's defaults for others."""
    return _FAMILIES.get(config.text.model_type or "", Family())
