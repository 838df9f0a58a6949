"""What keeps the router's knowledge fresh: health, models, addresses, the file of backends, nginx."""
