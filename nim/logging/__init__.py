"""Log lines from every program on their way to stderr: parsed, masked, written one record a line."""
