"""Read, check and render the engine's command-line arguments, by the rules of its own parser."""
