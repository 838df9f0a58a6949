"""Whether the engine is well and how far its start is: phases, time left, stalls, status files."""
