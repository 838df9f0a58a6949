"""The gateway against the bare upstream and against what else could stand there, measured side by side."""
