"""Tests of nim/proxy."""
