"""The engine as oracle: what the pinned vLLM itself makes of a model, compared with `nim.models`."""
