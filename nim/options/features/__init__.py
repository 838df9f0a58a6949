"""What one setting switches on, with all that the engine needs for it."""
