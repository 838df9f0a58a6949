"""Public vLLM recipes turned into manifests."""
