"""The weights of vision and audio towers, and of the projectors that lead from them to the language part."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from nim.models.config import ModelConfig, Section
from nim.models.parameters.modules import Linear, column, replicated, row
from nim.models.parameters.shares import Share, whole

_PARTS = ("vision_config", "vision_tower_config", "audio_config", "sound_config", "audio_tower_config")
_OUTER = ("thinker_config",)
_HIDDEN = ("hidden_size", "embed_dim", "width", "d_model", "vt_hidden_size")
_LAYERS = ("num_hidden_layers", "depth", "num_layers", "layers", "encoder_layers", "vt_num_hidden_layers")
_HEADS = (
    "num_attention_heads", "num_heads", "heads", "encoder_attention_heads", "vt_num_attention_heads",
)  # fmt: skip
_WIDTHS = ("intermediate_size", "mlp_dim", "encoder_ffn_dim", "ffn_dim", "vt_intermediate_size")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tower:
    """How the engine builds a tower."""

    split: bool = True  # False: every rank holds it in full
    gated: bool = False
    merger: bool = False  # a patch merger as Qwen's: patches together, then to the language part's size


_TOWERS: Mapping[str, Tower] = {
    **dict.fromkeys(("qwen2_vl", "qwen3_vl", "qwen3_vl_moe", "qwen3_5", "qwen3_5_moe"), Tower(merger=True)),
    **dict.fromkeys(("qwen3_vl_vision", "qwen3_vl_moe_vision", "qwen3_5_vision"), Tower(merger=True)),
    **dict.fromkeys(("qwen3_5_moe_vision", "qwen2_vl_vision"), Tower(merger=True)),
    **dict.fromkeys(("qwen2_5_vl", "qwen2_5_vl_vision", "exaone4_5_vision"), Tower(gated=True, merger=True)),
    **dict.fromkeys(("glm4v_vision", "glm4v_moe_vision", "glm_ocr_vision"), Tower(gated=True)),
    **dict.fromkeys(("gemma4_vision", "gemma4_audio"), Tower(split=False, gated=True)),
    **dict.fromkeys(
        ("siglip_vision_model", "clip_vision_model", "idefics3_vision", "llama4_vision_model"), Tower()
    ),
    **dict.fromkeys(("internvl_vision", "intern_vit_6b", "pixtral", "glmasr_encoder"), Tower()),
}
# Not known here: counted in full, and no reason to refuse a size.
_UNKNOWN = Tower(split=False)


def tower_modules(config: ModelConfig) -> Iterator[Linear]:
    """Yield the matrices of all towers that the configuration has; of those it does not describe, nothing."""
    out = config.whole("hidden_size")
    for name, section in _sections(config.root):
        tower = _TOWERS.get(section.model_type or "", _UNKNOWN)
        yield from _tower(name, section, tower, out)


def _sections(root: Section) -> Iterator[tuple[str, Section]]:
    for outer in (root, *(root.part(name) for name in _OUTER if name in root.values)):
        for name in _PARTS:
            stated = outer.values.get(name)
            if stated if name in outer.values else name in outer.known.parts:
                yield name.removesuffix("_config"), outer.part(name)


def _tower(prefix: str, section: Section, tower: Tower, out: int | None) -> Iterator[Linear]:
    hidden, layers = section.whole(*_HIDDEN), section.whole(*_LAYERS)
    heads = section.whole(*_HEADS)
    width = section.whole(*_WIDTHS) or int((section.number("mlp_ratio") or 4) * (hidden or 0))
    if hidden is None or layers is None or heads is None:
        return
    yield from _patches(prefix, section, hidden)
    for _ in range(layers):
        yield from _layer(prefix, tower, hidden, heads, width)
    if out is not None:
        yield from _projector(prefix, section, tower, hidden, out)


def _patches(prefix: str, section: Section, hidden: int) -> Iterator[Linear]:
    patch, channels = (
        section.whole("patch_size", "spatial_patch_size"),
        section.whole("num_channels", "in_channels"),
    )
    if patch is None:
        return
    yield replicated(
        f"{prefix}.patch_embed",
        (channels or 3) * patch**2 * (section.whole("temporal_patch_size") or 1),
        hidden,
    )
    image = section.whole("image_size")
    positions = section.whole("num_position_embeddings", "position_embedding_size") or (image or 0) // patch
    square = (
        positions if section.whole("num_position_embeddings", "position_embedding_size") else positions**2
    )
    if square:
        yield replicated(f"{prefix}.positions", square, hidden)


def _layer(prefix: str, tower: Tower, hidden: int, heads: int, width: int) -> Iterator[Linear]:
    unit, what = hidden // heads, f"{{}} heads of the {prefix} tower"
    attention = Share(heads, unit, what, divided=tower.split)
    inner = Share(width, 1, f"a width of {{}} of the {prefix} tower", divided=tower.split)
    yield Linear(name=f"{prefix}.qkv", inputs=whole(hidden), outputs=(attention,) * 3)
    yield Linear(name=f"{prefix}.proj", inputs=attention, outputs=(whole(hidden),))
    yield Linear(name=f"{prefix}.fc1", inputs=whole(hidden), outputs=(inner,) * (1 + tower.gated))
    yield Linear(name=f"{prefix}.fc2", inputs=inner, outputs=(whole(hidden),))


def _projector(prefix: str, section: Section, tower: Tower, hidden: int, out: int) -> Iterator[Linear]:
    if not tower.merger:
        yield replicated(f"{prefix}.projector", hidden, out)
        yield replicated(f"{prefix}.projector", out, out)
        return
    merged = hidden * (section.whole("spatial_merge_size") or 2) ** 2
    target = section.whole("out_hidden_size") or out
    for _ in range(1 + len(section.listed("deepstack_visual_indexes") or ())):
        yield column(f"{prefix}.merger.fc1", merged, merged)
        yield row(f"{prefix}.merger.fc2", merged, target)
