"""Turn settings, engine arguments and hardware into one plan."""
