"""Why the engine is certain to refuse a model, by its configuration and whatever its options."""

from collections.abc import Mapping

from nim.engine.supported_names_catalog import Way, load_catalog
from nim.models.config.model_config import ModelConfig
from nim.models.quantization.find_refused_quantization import quantization_fault
from nim.models.quantization.read_quantization import quantization_mapping

# Their layers are those of vllm/model_executor/models/qwen2.py, Qwen2Model.
_ONE_WINDOW = ("qwen2", "qwen3", "qwen2_vl_text", "qwen2_5_vl_text")


def model_fault(config: ModelConfig) -> str | None:
    """Return why the engine refuses the architecture, layers or quantization (text); None if nothing does."""
    return _architecture_fault(config) or layers_fault(config) or _quantization_fault(config)


def layers_fault(config: ModelConfig) -> str | None:
    """Return why the engine refuses a Qwen2-type model with windows in only some layers; None if not."""
    text, loaded = config.text, load_catalog().resolve(config.architectures) if config.architectures else None
    if text.model_type not in _ONE_WINDOW or loaded is None or loaded.way is Way.TRANSFORMERS:
        return None
    layers, full = text.first_integer("num_hidden_layers"), text.first_integer("max_window_layers")
    if layers is None or full is None or full == layers or not _is_mixed(config, layers, full):
        return None
    return (
        f'"max_window_layers" {full} with {layers} layers: vLLM {load_catalog().version} has a sliding '
        "window in all layers of this model or in none"
    )


def quantization_name(config: ModelConfig) -> str:
    """Return the quantization method that the checkpoint names; "" if it names none."""
    raw = quantization_mapping(config)
    producer = raw.get("producer")
    by_modelopt = isinstance(producer, Mapping) and producer.get("name") == "modelopt"
    return str(raw.get("quant_method") or ("modelopt" if by_modelopt else ""))


def quantization_detail(config: ModelConfig) -> str | None:
    """Return what decides beside the method: ModelOpt's algorithm, else the model type; None if neither."""
    return str(quantization_mapping(config).get("quant_algo") or config.model_type or "") or None


def _is_mixed(config: ModelConfig, layers: int, full: int) -> bool:
    """Return whether some layers have a sliding window and others do not."""
    text = config.text
    if (named := text.first_list("layer_types")) is not None:
        return len(set(map(str, named))) > 1
    windows = text.flag("use_sliding_window") and text.get("sliding_window") is not None
    return windows and 0 < full < layers


def _architecture_fault(config: ModelConfig) -> str | None:
    """Return that the engine has no class for the model (text); None if it or the checkpoint has one."""
    names, catalog = config.architectures, load_catalog()
    brings = any(str(name).startswith("AutoModel") for name in config.root.mapping("auto_map"))
    if not names or brings or catalog.resolve(names):
        return None
    return f"vLLM {catalog.version} has no {names[0]}"


def _quantization_fault(config: ModelConfig) -> str | None:
    """Return why the engine cannot load the checkpoint's quantization (text); None if it can, or has none."""
    name, catalog = quantization_name(config), load_catalog()
    if not name:
        return None
    found = catalog.checkpoint(name, quantization_detail(config))
    if found is None:
        return f'vLLM {catalog.version} has no quantization method "{name}"'
    return quantization_fault(config, found.method)
