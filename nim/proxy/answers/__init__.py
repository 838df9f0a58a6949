"""What the router answers itself: the models, health, metadata, metrics, its own state."""
