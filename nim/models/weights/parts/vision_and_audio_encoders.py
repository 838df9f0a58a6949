"""Weights of vision and audio towers, and of the projectors from them to the language part."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

from nim.frozen_dataclass import frozen_dataclass
from nim.models.config.model_config import ModelConfig, Section, as_size
from nim.models.weights.tensor_parallel_split import Share, undivided
from nim.models.weights.weight_matrices import Linear, column, replicated, row

_PARTS = ("vision_config", "vision_tower_config", "audio_config", "sound_config", "audio_tower_config")
_OUTER = ("thinker_config",)
# Where a tower has both of the first two, the second is the language part's.
_HIDDEN = ("embed_dim", "hidden_size", "width", "d_model", "vt_hidden_size")
_LAYERS = ("num_hidden_layers", "depth", "num_layers", "layers", "encoder_layers", "vt_num_hidden_layers")
_HEADS = ("num_attention_heads", "num_heads", "heads", "encoder_attention_heads", "vt_num_attention_heads")
_WIDTHS = ("intermediate_size", "mlp_dim", "encoder_ffn_dim", "ffn_dim", "vt_intermediate_size")
_SCALE = "scale_factor"
_TOWER_HEADS, _TOWER_WIDTH = "{} heads of the vision or audio tower", "a tower width of {}"


@frozen_dataclass
class Tower:
    """How the engine builds a tower."""

    split: bool = True  # False: every rank holds it in full
    splits_attention: bool = True
    splits_heads_or_none: bool = False  # heads that do not divide are held in full
    gated: bool = False
    learned_positions: bool = True
    sound_position_bits: int | None = None  # of a table of positions in time, where there is one
    projector: str = "two layers"  # a key of `_PROJECTORS`


_MERGER = Tower(projector="merger")
_GATED_MERGER = Tower(gated=True, projector="merger")
_IN_FULL = Tower(split=False)
_CLIP = Tower()
_SAM_NECK = 256  # channels behind SAM
_SAM_PATCHES = 64**2 + 3 * 16**2  # its positions, and the elements of a patch
_ONE_LAYER = Tower(split=False, projector="one layer")
_TOWERS: Mapping[str, Tower] = {
    **dict.fromkeys(("qwen2_vl", "qwen2_vl_vision", "qwen3_vl", "qwen3_vl_vision", "qwen3_vl_moe"), _MERGER),
    **dict.fromkeys(("qwen3_vl_moe_vision", "qwen3_5", "qwen3_5_moe", "qwen3_5_vision"), _MERGER),
    **dict.fromkeys(("qwen3_5_moe_vision", "qwen3_omni_moe_vision_encoder"), _MERGER),
    **dict.fromkeys(("qwen2_5_vl", "qwen2_5_vl_vision", "qwen2_5_omni_vision_encoder"), _GATED_MERGER),
    "qwen2_5_omni_audio_encoder": _ONE_LAYER,
    "qwen2_audio_encoder": Tower(split=False, sound_position_bits=16, projector="one layer"),
    "mistral_whisper": Tower(sound_position_bits=32, projector="frames together"),
    **dict.fromkeys(
        ("glm4v_vision", "glm4v_moe_vision", "glm_ocr_vision"), Tower(gated=True, projector="glm")
    ),
    **dict.fromkeys(("gemma4_vision", "gemma4_audio"), Tower(split=False, gated=True, projector="one layer")),
    **dict.fromkeys(("siglip_vision_model", "clip_vision_model", "glmasr_encoder"), Tower()),
    **dict.fromkeys(
        ("intern_vit_6b", "qianfan_ocr_vision"), Tower(splits_heads_or_none=True, projector="pixel shuffle")
    ),
    "llama4_vision_model": Tower(projector="llama 4"),
    **dict.fromkeys(("kimi_k25_vision", "moonvit"), Tower(projector="patches")),
    "exaone4_5_vision": _GATED_MERGER,
    **dict.fromkeys(("idefics3_vision", "smolvlm_vision"), Tower(projector="one layer, pixel shuffle")),
    "internvl_vision": Tower(splits_attention=False, projector="pixel shuffle"),
    "kimi_k3_vision": Tower(split=False, projector="patches"),
    "pixtral": Tower(gated=True, learned_positions=False),
}
# Of whole models, where the tower may be any.
_PROJECTOR_OF = {
    **dict.fromkeys(("bagel", "cohere2_vision", "glmasr", "llava", "llava_next"), "two layers, split"),
    **dict.fromkeys(("gemma3", "paligemma"), "one layer"),
    "mistral3": "three layers",
}


def tower_modules(config: ModelConfig) -> Iterator[Linear]:
    """Yield the matrices of all towers and projectors. Unknown towers count in full on every rank."""
    out = config.first_integer("hidden_size")
    for section in _sections(config):
        if widths := section.mapping("width"):
            yield from _deep_encoder(config, widths)
            continue
        tower = _TOWERS.get(section.model_type or "", _IN_FULL)
        projector = _PROJECTOR_OF.get(config.model_type or "", tower.projector)
        section = _with_root_names(section, config.root)
        yield from _tower(section, replace(tower, projector=projector), out, _last_layer(config))


def _with_root_names(section: Section, root: Section) -> Section:
    """Return `section` with the top level's `scale_factor` added; unchanged without one."""
    if root.get(_SCALE) is None:
        return section
    return replace(section, values={**section.values, _SCALE: root.get(_SCALE)})


def _deep_encoder(config: ModelConfig, widths: Mapping[str, Any]) -> Iterator[Linear]:
    """Yield the matrices of DeepSeek-OCR's SAM (in full), its convolutions, CLIP and the projector."""
    for name, sizes in widths.items():
        if not isinstance(sizes, Mapping):
            continue
        section, channels = Section(values=sizes), list(sizes.get("downsample_channels") or ())
        is_clip = "clip" in name
        yield from _tower(section, _CLIP if is_clip else _IN_FULL, None, -1)
        if not is_clip:
            yield replicated("patches", section.first_integer("width") or 0, _SAM_PATCHES)
        for inner, outer in pairwise((_SAM_NECK, _SAM_NECK, *channels) if channels else ()):
            yield replicated("downsample", 9 * inner, outer)
    projector = config.root.mapping("projector_config")
    inputs, outputs = as_size(projector.get("input_dim")), as_size(projector.get("n_embed"))
    if inputs and outputs:
        yield replicated("projector.layers", inputs, outputs)


def _last_layer(config: ModelConfig) -> int:
    """Return the negative index of the layer whose output is used (-1: last); later ones are not loaded."""
    feature = config.root.get("vision_feature_layer")
    last = (
        max((each for each in feature if isinstance(each, int)), default=-1)
        if isinstance(feature, list)
        else feature
    )
    return last if isinstance(last, int) and last < 0 else -1


def _sections(config: ModelConfig) -> Iterator[Section]:
    """Yield the configuration `Section` of each tower; nothing for a text model."""
    if not config.is_composite or all("ForCausalLM" in name for name in config.architectures):
        is_text = config.architectures and not any(config.root.values.get(part) for part in _PARTS)
        if is_text:
            return
    root = config.root
    for outer in (root, *(root.part(name) for name in _OUTER if name in root.values)):
        for name in _PARTS:
            stated = outer.values.get(name)
            if stated if name in outer.values else name in outer.known.parts:
                yield outer.part(name)


def _tower(section: Section, tower: Tower, out: int | None, last: int) -> Iterator[Linear]:
    """Yield the matrices of one tower and its projector; nothing if the tower's sizes are unknown."""
    hidden, layers, heads = (
        section.first_integer(*_HIDDEN),
        section.first_integer(*_LAYERS),
        section.first_integer(*_HEADS),
    )
    if hidden is None or layers is None or heads is None:
        return
    yield from _patches(section, tower, hidden)
    for _ in range(layers + 1 + last):
        yield from _layer(section, tower, hidden, heads)
    target = section.first_integer("out_hidden_size") or out
    if target is not None:
        yield from _PROJECTORS[tower.projector](section, hidden, target)


def _patches(section: Section, tower: Tower, hidden: int) -> Iterator[Linear]:
    """Yield the matrices that embed patches or sound, and their positions."""
    if mels := section.first_integer("num_mel_bins"):
        yield replicated("conv", 3 * (mels + hidden), hidden)
    if tower.sound_position_bits:
        moments = section.first_integer("max_source_positions") or 0
        yield replicated("positions", moments, hidden, bits=tower.sound_position_bits)
    patch = section.first_integer("patch_size", "spatial_patch_size")
    if patch is None:
        return
    channels, frames = (
        section.first_integer("num_channels", "in_channels") or 3,
        section.first_integer("temporal_patch_size"),
    )
    yield replicated("patch_embed", channels * patch**2 * (frames or 1), hidden)
    if tower.learned_positions and (positions := _positions(section, patch)):
        yield replicated("positions", positions, hidden)


def _positions(section: Section, patch: int) -> int:
    """Return the rows of the table of positions; 0 if the configuration states none."""
    stated = section.first_integer("num_position_embeddings", "position_embedding_size")
    height, width = section.first_integer("init_pos_emb_height"), section.first_integer("init_pos_emb_width")
    if stated is not None or (height and width):
        return stated or (height or 0) * (width or 0)
    return ((section.first_integer("image_size") or 0) // patch) ** 2


def _layer(section: Section, tower: Tower, hidden: int, heads: int) -> Iterator[Linear]:
    """Yield the four matrices of one tower layer: qkv, proj, fc1, fc2."""
    unit = section.first_integer("head_dim") or (section.first_integer("qkv_hidden_size") or hidden) // heads
    kv = section.first_integer("num_key_value_heads") or heads
    divided = tower.split and tower.splits_attention
    either = tower.splits_heads_or_none
    queries = Share(heads, unit, _TOWER_HEADS, divided=divided, or_whole=either)
    keys = Share(kv, unit, _TOWER_HEADS, divided=divided, or_whole=either)
    width = Share(_width(section, hidden), 1, _TOWER_WIDTH, divided=tower.split)
    yield Linear(name="qkv", inputs=undivided(hidden), outputs=(queries, keys, keys))
    yield Linear(name="proj", inputs=queries, outputs=(undivided(hidden),))
    yield Linear(name="fc1", inputs=undivided(hidden), outputs=(width,) * (1 + tower.gated))
    yield Linear(name="fc2", inputs=width, outputs=(undivided(hidden),))


def _width(section: Section, hidden: int) -> int:
    """Return the width of a tower's feed-forward network; four times `hidden` if none is stated."""
    own = (
        section.first_integer("out_hidden_size")
        if section.model_type in ("glm4v_vision", "glm4v_moe_vision")
        else None
    )
    return own or section.first_integer(*_WIDTHS) or int((section.number("mlp_ratio") or 4) * hidden)


def _two_layers(_section: Section, hidden: int, out: int) -> Iterator[Linear]:
    """Yield the two matrices of a projector that every rank holds in full."""
    yield replicated("projector.linear_1", hidden, out)
    yield replicated("projector.linear_2", out, out)


def _two_split_layers(_section: Section, hidden: int, out: int) -> Iterator[Linear]:
    """Yield the two matrices of a projector that the ranks divide."""
    yield column("projector.linear_1", hidden, out, what=_TOWER_WIDTH)
    yield row("projector.linear_2", out, out, what=_TOWER_WIDTH)


def _three_layers(section: Section, hidden: int, out: int) -> Iterator[Linear]:
    """Yield a projector's three matrices: one merges four patches, two are divided by the ranks."""
    yield replicated("projector.merging_layer", 4 * hidden, hidden)
    yield from _two_split_layers(section, hidden, out)


def _one_layer(_section: Section, hidden: int, out: int) -> Iterator[Linear]:
    """Yield the one matrix of a projector that every rank holds in full."""
    yield replicated("projector.linear", hidden, out)


def _one_layer_shuffled(section: Section, hidden: int, out: int) -> Iterator[Linear]:
    """Yield the one matrix of a projector behind a pixel shuffle, in full on every rank."""
    yield replicated("projector.linear", (section.first_integer(_SCALE) or 2) ** 2 * hidden, out)


def _frames_together(section: Section, hidden: int, out: int) -> Iterator[Linear]:
    """Yield the two matrices of a projector on joined audio frames, in full on every rank."""
    yield from _two_layers(section, (section.first_integer("downsample_factor") or 4) * hidden, out)


def _patches_together(_section: Section, hidden: int, out: int) -> Iterator[Linear]:
    """Yield the two matrices of a projector on four patches at once, in full on every rank."""
    merged = 4 * hidden
    yield replicated("projector.linear_1", merged, merged)
    yield replicated("projector.linear_2", merged, out)


def _pixel_shuffle(_section: Section, hidden: int, out: int) -> Iterator[Linear]:
    """Yield the two matrices of a projector behind a pixel shuffle, in full on every rank."""
    yield replicated("projector.linear_1", 4 * hidden, out)
    yield replicated("projector.linear_2", out, out)


def _llama4(section: Section, _hidden: int, out: int) -> Iterator[Linear]:
    """Yield Llama 4's two adapter matrices and its projector; nothing if a size is missing."""
    wide, middle = section.first_integer("intermediate_size"), section.first_integer("projector_input_dim")
    adapted, last = section.first_integer("projector_output_dim"), section.first_integer("vision_output_dim")
    if wide and middle and adapted and last:
        yield column("adapter.fc1", wide, middle, what=_TOWER_WIDTH)
        yield row("adapter.fc2", middle, adapted, what=_TOWER_WIDTH)
        yield column("projector.linear_1", last, out, what=_TOWER_WIDTH)


def _merger(section: Section, hidden: int, out: int) -> Iterator[Linear]:
    """Yield two matrices per merger of neighbouring patches: one merger, and one per deepstack layer."""
    merged = hidden * (section.first_integer("spatial_merge_size") or 2) ** 2
    target = (
        out if section.first_integer("embed_dim") is None else section.first_integer("hidden_size") or out
    )
    for _ in range(1 + len(section.first_list("deepstack_visual_indexes") or ())):
        yield column("merger.fc1", merged, merged, what=_TOWER_WIDTH)
        yield row("merger.fc2", merged, target, what=_TOWER_WIDTH)


def _glm(section: Section, hidden: int, out: int) -> Iterator[Linear]:
    """Yield the matrices of GLM's downsampling and merger."""
    merge = (section.first_integer("spatial_merge_size") or 2) ** 2
    width = section.first_integer("intermediate_size") or 4 * hidden
    yield replicated("downsample", hidden * merge, out)
    yield column("merger.proj", out, out, what=_TOWER_WIDTH)
    yield column("merger.gate_up_proj", out, width, width, what=_TOWER_WIDTH)
    yield row("merger.down_proj", width, out, what=_TOWER_WIDTH)


_PROJECTORS: Mapping[str, Callable[[Section, int, int], Iterator[Linear]]] = {
    "frames together": _frames_together,
    "glm": _glm,
    "llama 4": _llama4,
    "merger": _merger,
    "one layer": _one_layer,
    "one layer, pixel shuffle": _one_layer_shuffled,
    "patches": _patches_together,
    "pixel shuffle": _pixel_shuffle,
    "three layers": _three_layers,
    "two layers": _two_layers,
    "two layers, split": _two_split_layers,
}
