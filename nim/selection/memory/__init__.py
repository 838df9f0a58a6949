"""Estimate the memory that a start takes on each GPU or on the host, and check that a machine has it."""

from nim.selection.memory.estimate import ENGINE_UTILIZATION, GPU_WORKSPACE_BYTES, Estimate, estimate

__all__ = ["ENGINE_UTILIZATION", "GPU_WORKSPACE_BYTES", "Estimate", "estimate"]
