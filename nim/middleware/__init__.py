"""The management API: health, metadata, metrics, documents. Requests to the model bypass it."""
