"""Templates rendered to text. Pure: the files are written elsewhere."""
