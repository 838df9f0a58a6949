"""The weights of grouped-query attention."""

from collections.abc import Callable, Iterator, Mapping

from nim.models.config.model_config import ModelConfig, as_size
from nim.models.config.read_attention_heads import Heads
from nim.models.types import Layer, LayerKind
from nim.models.weights.parts.model_family_properties import Family
from nim.models.weights.parts.read_required_sizes import UnknownSizeError, size
from nim.models.weights.tensor_parallel_split import Share, undivided
from nim.models.weights.weight_matrices import Linear, replicated

_LOW_RANK_QUERIES = frozenset({"step3_text"})
ATTENTION_HEADS, KV_HEADS = "{} attention heads", "{} KV heads"


def grouped_queries(
    config: ModelConfig, family: Family, heads: Heads, layer: Layer, prefix: str, index: int
) -> Iterator[Linear]:
    """Yield one layer's `qkv_proj` and `o_proj` matrices, and the family's gate if it has one."""
    hidden, queries = size(config, "hidden_size"), _query_heads(config, heads, layer, index)
    kv, key, value = _kv_sizes(heads, layer)
    if config.text.model_type in _LOW_RANK_QUERIES:
        yield from _low_rank_queries(config, Share(queries, key, ATTENTION_HEADS), kv * (key + value), prefix)
        return
    gate = family.gated_queries and config.get("attn_output_gate") is not False
    outputs = (
        Share(queries, key * (1 + gate), ATTENTION_HEADS),
        Share(kv, key, KV_HEADS, repeated=family.repeats_kv_heads),
        Share(kv, value, KV_HEADS, repeated=family.repeats_kv_heads),
    )
    yield Linear(name=f"{prefix}.qkv_proj", inputs=undivided(hidden), outputs=outputs)
    way_out = Share(queries, value, ATTENTION_HEADS)
    yield Linear(name=f"{prefix}.o_proj", inputs=way_out, outputs=(undivided(hidden),))
    if family.output_gate:
        yield Linear(name=f"{prefix}.gate_proj", inputs=undivided(hidden), outputs=(way_out,))


def _low_rank_queries(config: ModelConfig, queries: Share, keys: int, prefix: str) -> Iterator[Linear]:
    """Yield the low-rank input projection (in full on each rank), the queries and the output."""
    hidden, rank = size(config, "hidden_size"), size(config, "share_q_dim")
    yield replicated(f"{prefix}.qkv_proj", hidden, rank + keys)
    yield Linear(name=f"{prefix}.wq", inputs=undivided(rank), outputs=(queries,))
    yield Linear(name=f"{prefix}.o_proj", inputs=queries, outputs=(undivided(hidden),))


def _kv_sizes(heads: Heads, layer: Layer) -> tuple[int, int, int]:
    """Return (KV heads, key size, value size) of a layer; raise UnknownSizeError if unknown."""
    for cache in layer.caches:
        if cache.kind in (LayerKind.FULL, LayerKind.SLIDING, LayerKind.CHUNKED) and not cache.latent:
            return cache.kv_heads, cache.key_size, cache.value_size or cache.key_size
    if not heads.kv or not heads.size:
        raise UnknownSizeError("num_key_value_heads")
    return heads.kv, heads.size, heads.size


def _query_heads(config: ModelConfig, heads: Heads, layer: Layer, index: int) -> int:
    """Return the number of query heads of layer `index`; raise UnknownSizeError if unknown."""
    own = _QUERY_HEADS.get(config.text.model_type or "")
    found = own(config, layer, index) if own else None
    if found is None and heads.attention is None:
        raise UnknownSizeError("num_attention_heads")
    return found or heads.attention or 0


def _slides(layer: Layer) -> bool:
    """Return whether the layer has sliding attention."""
    return layer.kind == LayerKind.SLIDING


def _step3p5(config: ModelConfig, layer: Layer, _index: int) -> int | None:
    """Return the query heads of Step 3.5's sliding layers; None for other layers."""
    other = config.mapping("attention_other_setting")
    return as_size(other.get("num_attention_heads")) if _slides(layer) else None


def _mimo_v2(config: ModelConfig, layer: Layer, _index: int) -> int | None:
    """Return the query heads of MiMo V2's sliding layers; None for other layers."""
    return config.first_integer("swa_num_attention_heads") if _slides(layer) else None


def _by_layer(config: ModelConfig, _layer: Layer, index: int) -> int | None:
    """Return the query heads listed for layer `index`; None without an entry."""
    counts = config.first_list("num_attention_heads_per_layer") or ()
    return as_size(counts[index]) if index < len(counts) else None


_QUERY_HEADS: Mapping[str, Callable[[ModelConfig, Layer, int], int | None]] = {
    "laguna": _by_layer,
    "mimo_v2": _mimo_v2,
    "mimo_v2_flash": _mimo_v2,
    "step3p5": _step3p5,
}
