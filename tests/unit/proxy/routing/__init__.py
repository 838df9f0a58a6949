"""Tests of nim/proxy/routing."""
