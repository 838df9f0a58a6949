"""Management routes: what the service reports about itself, from the first second. No tokens pass here."""
