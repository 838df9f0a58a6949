"""Decisions: values in, values out. Nothing here reads, writes, waits or starts anything."""
