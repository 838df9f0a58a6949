"""Storage formats of weights, and the format of each module of a quantized checkpoint."""
