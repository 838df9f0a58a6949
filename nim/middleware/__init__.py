"""The management API: health, metadata, metrics and documents about the service; model traffic bypasses it."""
