"""What a killed engine leaves behind, found and removed: processes and shared memory."""
