"""Which profile of a manifest a machine runs, and why. Pure: nothing here reads, writes or waits."""
