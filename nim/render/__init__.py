"""Plan values become text, and nothing else happens: the files of the run directory are written elsewhere."""
