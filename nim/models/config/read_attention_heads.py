"""Attention heads and their size, as the engine reads them from a configuration."""

from nim.frozen_dataclass import frozen_dataclass
from nim.models.config.model_config import ModelConfig, as_size

# Families whose attention keeps one latent vector a token, where they have `kv_lora_rank`.
LATENT_FAMILIES = frozenset({
    "axk1", "bailing_hybrid", "deepseek_mtp", "deepseek_v2", "deepseek_v3", "deepseek_v32", "deepseek_v4",
    "deepseek_v41", "dots3_note", "glm4_moe_lite", "glm5_next", "glm5_next_text", "glm_moe_dsa", "hy_v4",
    "k3_dspark", "kimi_k2", "kimi_linear", "longcat_flash", "pangu_ultra_moe",
})  # fmt: skip
_KV_HEADS = (
    "n_head_kv", "num_kv_heads", "num_key_value_heads", "multi_query_group_num", "num_attention_groups",
)  # fmt: skip
_WITHOUT_ATTENTION = frozenset({"mamba", "mamba2", "falcon_mamba"})
_FALCON = frozenset({"falcon", "RefinedWeb", "RefinedWebModel"})


@frozen_dataclass
class Heads:
    """Of the whole model, before tensor parallelism divides them. None is unknown, 0 is without attention."""

    attention: int | None
    kv: int | None
    size: int | None  # of a head; of the latent vector where `latent`
    hidden: int | None
    latent: bool = False


def read_heads(config: ModelConfig) -> Heads:
    """Return the number of attention and KV heads, and sizes, as `Heads`; unknown fields are None."""
    attention = _attention_heads(config)
    latent = is_latent(config)
    attends = config.text.model_type not in _WITHOUT_ATTENTION
    return Heads(
        attention=attention if attends else attention or 0,
        kv=_kv_heads(config, attention) if attends else 0,
        size=_head_size(config, attention, latent=latent)
        if attends
        else config.first_integer("head_dim") or 0,
        hidden=config.first_integer("hidden_size"),
        latent=latent,
    )


def is_latent(config: ModelConfig) -> bool:
    """Return whether the engine treats the configuration as multi-head latent attention (MLA)."""
    if config.text.model_type not in LATENT_FAMILIES:
        return False
    key = "head_dim" if config.first_list("compress_ratios") else "kv_lora_rank"
    return config.first_integer(key) is not None


def attends_latently(config: ModelConfig) -> bool:
    """Return whether the model computes attention on latent vectors: MLA and causal."""
    return is_latent(config) and config.get("is_causal") is not False


def _attention_heads(config: ModelConfig) -> int | None:
    """Return the number of attention heads; None if unknown."""
    decoder = config.mapping("transf_decoder").get("config_dict")
    if isinstance(decoder, dict):  # cohere_asr
        return as_size(decoder.get("num_attention_heads"))
    return config.first_integer("num_attention_heads")


def _kv_heads(config: ModelConfig, attention: int | None) -> int | None:
    """Return the number of KV heads; None if unknown."""
    kind = config.text.model_type
    if kind == "dbrx":
        return as_size(config.mapping("attn_config").get("kv_n_heads")) or attention
    if kind == "nemotron-nas":
        return _kv_heads_of_blocks(config, attention)
    if kind in _FALCON and not config.flag("new_decoder_architecture") and config.flag("multi_query"):
        return 1
    if kind == "gpt_bigcode" and config.flag("multi_query"):
        return 1
    found = config.first_integer(*_KV_HEADS)
    return attention if found is None else found


def _kv_heads_of_blocks(config: ModelConfig, attention: int | None) -> int | None:
    """Return Nemotron-NAS's KV heads, from the first block that states its group size; None if none does."""
    for block in config.first_list("block_configs") or ():
        group = as_size(block.get("attention", {}).get("n_heads_in_group"))
        if group and attention:
            return attention // group
    return None


def _head_size(config: ModelConfig, attention: int | None, *, latent: bool) -> int | None:
    """Return the elements of a head (of the latent vector if `latent`); None if unknown."""
    if latent:
        return _latent_size(config)
    if config.text.model_type == "minicpm3":
        return config.first_integer("qk_rope_head_dim")
    if config.text.model_type == "zamba2":
        return config.first_integer("attention_head_dim") or _shared_out(
            config.first_integer("attention_hidden_size"), attention
        )
    if config.text.model_type in ("gemma4", "gemma4_text", "gemma4_unified", "gemma4_unified_text"):
        return _largest_head(config)
    return (
        config.first_integer("head_dim")
        or config.first_integer("hidden_size_per_head")
        or _shared_out(config.first_integer("hidden_size"), attention)
    )


def _latent_size(config: ModelConfig) -> int | None:
    """Return the elements of a latent cache entry (rank plus RoPE part); None if unknown."""
    if config.first_list("compress_ratios"):
        return config.first_integer("head_dim")
    rank, rope = config.first_integer("kv_lora_rank"), config.first_integer("qk_rope_head_dim")
    return None if rank is None else rank + (rope or 0)


def _largest_head(config: ModelConfig) -> int | None:
    """Return the larger of Gemma 4's `head_dim` (0 if missing) and `global_head_dim` (512), in elements."""
    return max(config.first_integer("head_dim") or 0, config.first_integer("global_head_dim") or 512) or None


def _shared_out(size: int | None, heads: int | None) -> int | None:
    """Return `size` divided by `heads`, rounded down; None if one is unknown or 0."""
    return size // heads if size and heads else None
