"""Commands about the files of models: the cache, and mirrors."""
