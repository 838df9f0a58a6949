"""Download models: from the hub, and from object stores, web servers and registries (`sources`, `download`).

The hub's client library comes with the engine and reads its environment when `nim.fetch.hub` is imported.
"""
