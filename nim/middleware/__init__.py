"""The management routes: what the service says about itself, from second 0. Tokens never pass here."""
