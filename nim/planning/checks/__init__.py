"""Checks of a start before it is planned to the end."""
