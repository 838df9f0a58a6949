"""One module per check of a running service."""
