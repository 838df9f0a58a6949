"""Download a model's files into the cache: resumable inside a file, verified, one process at a time."""
