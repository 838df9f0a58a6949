"""Engine options: seven layers of settings resolved to one value each, with the origin of every value."""
