"""The weights of a model: bytes on one rank, and the numbers of ranks they can be split over."""
