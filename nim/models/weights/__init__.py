"""The weights of a model: how many bytes one rank holds, and over how many ranks they can be split."""
