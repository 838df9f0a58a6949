"""Find and remove what a killed engine leaves behind: processes and shared memory."""
