"""Why a directory is not what the engine loads, and what to type instead."""
