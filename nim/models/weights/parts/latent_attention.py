"""The weights of multi-head latent attention and of its indexers."""

from collections.abc import Callable, Iterator, Mapping

from nim.models.config.model_config import ModelConfig, as_size
from nim.models.types import Layer
from nim.models.weights.parts.attention import ATTENTION_HEADS
from nim.models.weights.parts.read_required_sizes import size
from nim.models.weights.tensor_parallel_split import Share, undivided
from nim.models.weights.weight_matrices import Linear, replicated

_UNQUANTIZED = 16


def latent_attention(config: ModelConfig, layer: Layer, prefix: str, index: int) -> Iterator[Linear]:
    """Yield the matrices of one MLA layer and of its indexer; UnknownSizeError if a size is missing."""
    own = _FAMILIES.get(config.text.model_type or "", _plain)
    yield from own(config, prefix, index)
    if len(layer.caches) > 1 and config.text.model_type != "deepseek_v4":
        yield from _indexer(config, f"{prefix}.indexer")


def _heads(config: ModelConfig, unit: int) -> Share:
    """Return the attention heads, `unit` elements each, as the `Share` that ranks divide."""
    return Share(size(config, "num_attention_heads"), unit, ATTENTION_HEADS)


def _per_head(name: str, inputs: int, config: ModelConfig, unit: int) -> Linear:
    """Return a `Linear` from `inputs` to `unit` channels per head, divided by heads."""
    return Linear(name=name, inputs=undivided(inputs), outputs=(_heads(config, unit),))


def _plain(config: ModelConfig, prefix: str, _index: int) -> Iterator[Linear]:
    """Yield the matrices of ordinary MLA: down, up and output projections."""
    hidden, rank = size(config, "hidden_size"), size(config, "kv_lora_rank")
    nope, rope = size(config, "qk_nope_head_dim"), config.first_integer("qk_rope_head_dim") or 0
    value, query_rank = size(config, "v_head_dim"), config.first_integer("q_lora_rank")
    if query_rank:
        yield replicated(f"{prefix}.fused_qkv_a_proj", hidden, query_rank, rank + rope)
        yield _per_head(f"{prefix}.q_b_proj", query_rank, config, nope + rope)
    else:
        yield _per_head(f"{prefix}.q_proj", hidden, config, nope + rope)
        yield replicated(f"{prefix}.kv_a_proj_with_mqa", hidden, rank + rope)
    yield _per_head(f"{prefix}.kv_b_proj", rank, config, nope + value)
    yield Linear(name=f"{prefix}.o_proj", inputs=_heads(config, value), outputs=(undivided(hidden),))


def _indexer(config: ModelConfig, prefix: str) -> Iterator[Linear]:
    """Yield the two matrices of a sparse indexer, held in full by every rank."""
    hidden, rank = size(config, "hidden_size"), size(config, "q_lora_rank", "hidden_size")
    heads, channels = size(config, "index_n_heads"), size(config, "index_head_dim")
    yield replicated(f"{prefix}.wq_b", rank, heads * channels)
    yield replicated(f"{prefix}.wk_weights_proj", hidden, channels + heads, bits=_UNQUANTIZED)


def _gated(config: ModelConfig, prefix: str, index: int) -> Iterator[Linear]:
    """Yield the matrices of MLA, and of an output gate if the configuration has one (Kimi Linear, K3)."""
    yield from _plain(config, prefix, index)
    if config.flag("mla_use_output_gate"):
        yield _output_gate(config, f"{prefix}.g_proj")


def _hunyuan_v4(config: ModelConfig, prefix: str, index: int) -> Iterator[Linear]:
    """Yield the matrices of MLA and of Hunyuan V4's output gate."""
    yield from _plain(config, prefix, index)
    yield _output_gate(config, f"{prefix}.linear_gate")


def _output_gate(config: ModelConfig, name: str) -> Linear:
    """Return the `Linear` from hidden size to a gate of each head's values."""
    return _per_head(name, size(config, "hidden_size"), config, size(config, "v_head_dim"))


def _deepseek_v4(config: ModelConfig, prefix: str, index: int) -> Iterator[Linear]:
    """Yield DeepSeek V4's matrices: one latent for keys and values, grouped output, compressors."""
    hidden, channels, rank = (
        size(config, "hidden_size"),
        size(config, "head_dim"),
        size(config, "q_lora_rank"),
    )
    groups, out_rank = size(config, "o_groups"), size(config, "o_lora_rank")
    heads = size(config, "num_attention_heads")
    yield replicated(f"{prefix}.fused_wqa_wkv", hidden, rank, channels)
    yield _per_head(f"{prefix}.wq_b", rank, config, channels)
    group = Share(groups * out_rank, what="groups of attention heads, {} wide")
    yield Linear(name=f"{prefix}.wo_a", inputs=undivided(heads * channels // groups), outputs=(group,))
    yield Linear(name=f"{prefix}.wo_b", inputs=group, outputs=(undivided(hidden),))
    ratios = config.first_list("compress_ratios") or ()
    ratio = as_size(ratios[index]) if index < len(ratios) else None
    if ratio and ratio > 1:
        yield from _compressor(config, f"{prefix}.compressor", channels, ratio)
    if ratio == 4:
        index_heads, index_channels = size(config, "index_n_heads"), size(config, "index_head_dim")
        yield replicated(f"{prefix}.indexer.wq_b", rank, index_heads * index_channels)
        yield replicated(f"{prefix}.indexer.weights_proj", hidden, index_heads, bits=_UNQUANTIZED)
        yield from _compressor(config, f"{prefix}.indexer.compressor", index_channels, ratio)


def _compressor(config: ModelConfig, prefix: str, channels: int, ratio: int) -> Iterator[Linear]:
    """Yield the one matrix of a compressor's keys and gates; groups of 4 overlap, which doubles it."""
    width = channels * (2 if ratio == 4 else 1)
    yield replicated(
        f"{prefix}.fused_wkv_wgate", size(config, "hidden_size"), width, width, bits=_UNQUANTIZED
    )


_FAMILIES: Mapping[str, Callable[[ModelConfig, str, int], Iterator[Linear]]] = {
    "deepseek_v4": _deepseek_v4,
    "hy_v4": _hunyuan_v4,
    "kimi_linear": _gated,
}
