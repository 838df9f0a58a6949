"""Format a number of bytes as text, in decimal MB or GB."""


def format_size(size: float | None) -> str:
    """Return a number of bytes as text in MB or GB (10⁶, 10⁹ bytes); "of unknown size" for None."""
    if size is None:
        return "of unknown size"
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
