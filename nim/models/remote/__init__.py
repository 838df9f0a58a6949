"""Models in object stores and on other servers: their URIs, and their directories in the cache."""
