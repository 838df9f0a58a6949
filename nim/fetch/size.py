"""How much that is, for a person."""


def told(size: float | None) -> str:
    """Bytes, for a person."""
    if size is None:
        return "of unknown size"
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
