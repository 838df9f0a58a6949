"""The engine's rules on combinations of options, and their checks."""
