"""Requests as the catalog endpoint of nemotron-3-nano-omni takes them, made into those that vLLM takes."""
