"""supervisord: starting it, talking to it, and the programs under it."""
