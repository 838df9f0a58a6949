"""What users of NIM, its operator and its clients count on, asked of any container that claims it.

    python -m tests.conformance --url http://localhost:8000
    python -m tests.conformance --image nim:0.1.0-cpu

Nothing of this project is imported: the kit judges from outside.
"""
