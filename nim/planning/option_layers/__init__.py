"""Option layers read from files, variables and the command line."""
