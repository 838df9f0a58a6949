"""The hub and a model's files: what a repository has, fetched into the cache, or laid out as a directory.

The hub's client comes with the engine; it reads its environment when `nim.fetch.hub` is imported.
"""
