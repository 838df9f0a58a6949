"""Checks before anything starts: ports, directories, mounts, shared memory, the run directory."""
