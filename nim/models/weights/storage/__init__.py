"""How weights are stored: formats, and which module of a quantized checkpoint has which."""
