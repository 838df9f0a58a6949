"""Faults of replicas, file and router while clients send requests through a proxy without pause."""
