"""The conformance kit: what users of NIM, its operator and clients rely on, checked on any container.

    python -m tests.conformance --url http://localhost:8000
    python -m tests.conformance --image nim:0.1.0-cpu

Nothing of this project is imported: the kit judges from outside.
"""
