"""The models in the cache: list them, verify their digests, remove what no start uses."""
