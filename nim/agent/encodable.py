"""Texts that can be sent and stored."""


def encodable(text: str) -> str:
    """Return a text with what UTF-8 cannot encode, halves of surrogate pairs, as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()
