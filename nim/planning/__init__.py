"""Environment, arguments and a machine turned into one plan."""
