"""vLLM's CPU build computes rows without an adapter by none, as this project runs it."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.engine

# In a process of its own, whose arguments switch LoRA on.
PROGRAM = """
import sys
import nim.supervision.run_vllm_cpu
import torch
from vllm.lora.punica_wrapper import punica_cpu
from vllm.lora.ops.torch_ops import sgmv_shrink

inputs, weights = torch.ones(3, 4), torch.arange(1.0, 3.0).reshape(2, 1, 1, 1).expand(2, 1, 5, 4)
output = torch.full((3, 5), 7.0)
punica_cpu.bgmv_shrink(inputs, weights, output, torch.tensor([0, -1, 1]), 1.0)
print([row[0] for row in output.tolist()])
output = torch.full((3, 5), 7.0)
starts, lengths = torch.tensor([0, 1]), torch.tensor([1, 2])
sgmv_shrink(inputs, weights, output, starts, lengths, torch.tensor([1, -1]), 2, 2, 3, 1.0)
print([row[0] for row in output.tolist()])
"""


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--enable-lora"], "[4.0, 0.0, 8.0]\n[8.0, 0.0, 0.0]\n"),
        # When this fails, vLLM has repaired it, and `skipping_rows_without_adapter` can go.
        ([], "[4.0, 8.0, 8.0]\n[8.0, 8.0, 8.0]\n"),
    ],
)
def test_rows_without_an_adapter(arguments: list[str], expected: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, timeout=200, check=True
    )
    assert done.stdout == expected
