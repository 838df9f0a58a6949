"""Client of the model hub: list a repository, fetch its files into the cache, or write them to a directory.

The hub's client library comes with the engine and reads its environment when `nim.fetch.hub` is imported.
"""
