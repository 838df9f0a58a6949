"""How a checkpoint is quantized, and what the engine refuses of it."""
