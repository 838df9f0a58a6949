"""Health of the engine and progress of its start: readiness, phases, ETA, stalls, status files."""
