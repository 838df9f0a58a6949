"""Tests of the conformance kit: it passes correct services, and each fault fails exactly its checks."""
