"""Other people's tools against the real service: `make test-peers`, apart from the everyday tests."""
