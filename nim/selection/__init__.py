"""Select the profile of a manifest that a machine runs, with reasons. Pure: no I/O."""
