"""Tests of nim/proxy/upkeep."""
