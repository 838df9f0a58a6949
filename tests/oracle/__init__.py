"""What the pinned vLLM itself derives from a model, compared with `nim.models`."""
