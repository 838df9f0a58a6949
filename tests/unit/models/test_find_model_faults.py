"""Models that the engine refuses whatever the options are."""

from typing import Any

import pytest

from nim.models.config.model_config import model_config
from nim.models.find_model_faults import model_fault
from tests.unit.models.models import LLAMA

QWEN = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "num_hidden_layers": 4,
    "use_sliding_window": True,
}


def fault(config: dict[str, Any], **changes: Any) -> str | None:
    return model_fault(model_config({**config, **changes}))


def test_a_plain_model_and_an_unknown_one_are_not_refused() -> None:
    assert fault(LLAMA) is None
    assert fault({}) is None


def test_architectures() -> None:
    assert fault(LLAMA, architectures=["FutureForCausalLM"]) == "vLLM 0.32.0 has no FutureForCausalLM"
    own = {"AutoModelForCausalLM": "modeling_future.FutureForCausalLM"}
    assert fault(LLAMA, architectures=["FutureForCausalLM"], auto_map=own) is None


def test_quantizations() -> None:
    method = {"quant_method": "aqlm"}
    found = fault(LLAMA, quantization_config=method)
    assert found == 'vLLM 0.32.0 has no quantization method "aqlm"'


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({"max_window_layers": 2}, True),
        ({"max_window_layers": 0}, False),
        ({"max_window_layers": 4}, False),
        ({"max_window_layers": 2, "use_sliding_window": False}, False),
        ({"max_window_layers": 2, "sliding_window": None}, False),
        ({"layer_types": ["full_attention"] * 2 + ["sliding_attention"] * 2}, True),
        ({"layer_types": ["sliding_attention"] * 4}, False),
        (
            {"max_window_layers": 2, "architectures": ["Qwen2MoeForCausalLM"], "model_type": "qwen2_moe"},
            False,
        ),
    ],
)
def test_windows_of_some_layers(changes: dict[str, Any], refused: bool) -> None:
    assert (fault(QWEN, **changes) is not None) == refused
