"""Weights that single model families have besides those of a common decoder."""

from collections.abc import Callable, Iterator, Mapping

from nim.models.config.model_config import ModelConfig
from nim.models.layers.layer_kinds import layer_kinds
from nim.models.types import Layer, LayerKind
from nim.models.weights.parts import encoder_decoder
from nim.models.weights.parts.attention import ATTENTION_HEADS
from nim.models.weights.parts.read_required_sizes import size
from nim.models.weights.tensor_parallel_split import Share, undivided
from nim.models.weights.weight_matrices import Linear, Module, Vocabulary, column, replicated, row

SHARING = frozenset({"gemma3n_text", "gemma4_text", "gemma4_unified_text"})
ENCODERS = frozenset({"bert", "roberta", "xlm-roberta", "camembert"})
_LEARNED_POSITIONS = frozenset({"gpt2", "gpt-sw3", "gpt_bigcode", "opt", "biogpt"}) | ENCODERS
_SCORE_BITS = _MIX_BITS = 32
_REWARDS = frozenset({"Qwen2ForRewardModel", "Qwen2ForProcessRewardModel"})


def shared_queries(config: ModelConfig, prefix: str, index: int) -> Iterator[Linear]:
    """Yield the `q_proj` and `o_proj` of a layer that uses an earlier layer's keys and values."""
    kinds, hidden, channels = layer_kinds(config) or (), size(config, "hidden_size"), size(config, "head_dim")
    if config.text.model_type != "gemma3n_text" and kinds[index] == LayerKind.FULL:
        channels = config.first_integer("global_head_dim") or 512
    heads = Share(size(config, "num_attention_heads"), channels, ATTENTION_HEADS)
    yield Linear(name=f"{prefix}.q_proj", inputs=undivided(hidden), outputs=(heads,))
    yield Linear(name=f"{prefix}.o_proj", inputs=heads, outputs=(undivided(hidden),))


def shares_keys(config: ModelConfig, index: int) -> bool:
    """Return whether layer `index` uses an earlier layer's keys and values (Gemma 3n, 4)."""
    sharing = config.first_integer("num_kv_shared_layers") or 0
    if config.text.model_type not in SHARING or not sharing:
        return False
    return 0 < size(config, "num_hidden_layers") - sharing <= index


def layer_extras(config: ModelConfig, layer: Layer) -> Iterator[Module]:
    """Yield a layer's weights beside attention and feed-forward network; nothing for most families."""
    read = _LAYER_EXTRAS.get(config.text.model_type or "")
    if read is not None:
        yield from read(config, layer)


def model_extras(config: ModelConfig) -> Iterator[Module]:
    """Yield the weights beside embedding and layers, once per model; nothing for most families."""
    kind, hidden = config.text.model_type or "", config.first_integer("hidden_size")
    if kind in encoder_decoder.FAMILIES:
        yield from encoder_decoder.encoder_decoder_extras(config)
    if kind == "zamba2" and hidden:
        for _ in range(config.first_integer("num_mem_blocks") or 1):
            yield from _shared_block(config, hidden)
    if kind in SHARING and hidden:
        yield from _per_layer_embedding(config, hidden)
    if kind in _LEARNED_POSITIONS and hidden:
        yield _positions(config, kind, hidden)
    if hidden and any(name in _REWARDS for name in config.architectures):
        yield column("score", hidden, hidden, bits=_SCORE_BITS)
    if kind in ENCODERS and hidden and any("Classification" in name for name in config.architectures):
        yield replicated("pooler.dense", hidden, hidden, bits=_SCORE_BITS)


def _positions(config: ModelConfig, kind: str, hidden: int) -> Module:
    """Return the table of learned positions as a module; encoders split it like a vocabulary."""
    rows = config.first_integer("max_position_embeddings") or 0
    if kind in ENCODERS:
        return Vocabulary(name="embed_positions", rows=rows, columns=hidden)
    return replicated("embed_positions", hidden, rows)


def _per_layer_embedding(config: ModelConfig, hidden: int) -> Iterator[Module]:
    """Yield Gemma's table of embeddings per layer and its projections; nothing without it."""
    channels, layers = config.first_integer("hidden_size_per_layer_input"), size(config, "num_hidden_layers")
    if not channels:
        return
    rows = size(config, "vocab_size_per_layer_input", "vocab_size")
    yield Vocabulary(name="embed_tokens_per_layer", rows=rows, columns=layers * channels)
    yield column("per_layer_model_projection", hidden, layers * channels)
    for _ in range(2 * ((config.first_integer("altup_num_inputs") or 1) - 1)):
        yield column("altup_projection", hidden, hidden)


def _per_layer_input(config: ModelConfig, _layer: Layer) -> Iterator[Module]:
    """Yield a layer's projections of Gemma's per-layer embedding, and LAuReL's; nothing without."""
    channels, hidden = config.first_integer("hidden_size_per_layer_input"), size(config, "hidden_size")
    if channels:
        yield replicated("per_layer_input_gate", hidden, channels)
        yield replicated("per_layer_projection", channels, hidden)
    if rank := config.first_integer("laurel_rank"):
        yield column("laurel.linear_left", hidden, rank)
        yield row("laurel.linear_right", rank, hidden)


def _hyper_connections(config: ModelConfig, _layer: Layer) -> Iterator[Module]:
    """Yield DeepSeek V4's mixers of residual streams before attention and feed-forward network."""
    streams, hidden = config.first_integer("hc_mult") or 0, size(config, "hidden_size")
    for name in ("hc_attn_fn", "hc_ffn_fn"):
        yield replicated(name, streams * hidden, streams * (streams + 2), bits=_MIX_BITS)


def _adapters(config: ModelConfig, layer: Layer) -> Iterator[Module]:
    """Yield Zamba 2's adapters of the shared block for a hybrid layer; nothing for others."""
    if layer.kind != LayerKind.HYBRID:
        return
    hidden, rank = size(config, "hidden_size"), config.first_integer("adapter_rank") or 128
    width = size(config, "intermediate_size")
    yield replicated("linear", hidden, hidden)
    yield column("gate_up_proj_adapter.A", hidden, rank)
    yield column("gate_up_proj_adapter.B", rank, width, width)


def _shared_block(config: ModelConfig, hidden: int) -> Iterator[Module]:
    """Yield Zamba 2's shared block: attention on twice the channels, and a feed-forward network."""
    heads, width = size(config, "num_attention_heads"), size(config, "intermediate_size")
    attended = config.first_integer("attention_hidden_size") or 2 * hidden
    share = Share(heads, config.first_integer("attention_head_dim") or attended // heads, ATTENTION_HEADS)
    yield Linear(name="qkv_proj", inputs=undivided(attended), outputs=(share, share, share))
    yield Linear(name="o_proj", inputs=share, outputs=(undivided(hidden),))
    yield column("gate_up_proj", hidden, width, width)
    yield row("down_proj", width, hidden)


_LAYER_EXTRAS: Mapping[str, Callable[[ModelConfig, Layer], Iterator[Module]]] = {
    **dict.fromkeys(SHARING, _per_layer_input),
    "deepseek_v4": _hyper_connections,
    "zamba2": _adapters,
}
