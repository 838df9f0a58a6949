"""The catalog of the installed engine, read from its own registries (`python -m nim.engine.inspection`).

Only generation and tests run this: it imports vLLM, which takes most of a minute.
"""
