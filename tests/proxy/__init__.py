"""The whole proxy, started as a user would, before backends that count and echo."""
