"""Routers before two models with two replicas each: what a request and an event cost, and what is added."""
