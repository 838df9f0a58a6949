"""The decision for one request: its model, the replicas that have it, and which of them it is sent to."""
