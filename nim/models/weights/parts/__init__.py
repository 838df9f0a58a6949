"""Weights by part of a model: attention, feed-forward networks, mixers, towers."""
