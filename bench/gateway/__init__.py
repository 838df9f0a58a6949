"""Measure the gateway against the bare upstream and other proxies, side by side."""
