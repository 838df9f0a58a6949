"""Client of the model hub: list a repository, download its files, or copy them to a directory.

The hub's client library comes with the engine and reads its environment when `nim.fetch.hub` is imported.
"""
