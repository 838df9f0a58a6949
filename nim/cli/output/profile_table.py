"""Print the profile list as a table on a terminal, and as NIM's plain text in a pipe."""

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from nim.log_format import visible
from nim.selection.profile_listing import ListedProfile, Listing


def print_listing(listing: Listing) -> None:
    """Print the GPUs on one line of stdout, then a table with one row per profile, best first."""
    console = Console()
    gpus = [*listing.free_gpus, *listing.busy_gpus]
    busy = {gpu.index for gpu in listing.busy_gpus}
    named = [f"{gpu.name or 'GPU'} ({gpu.index}{', busy' if gpu.index in busy else ''})" for gpu in gpus]
    heading = f"{listing.model or 'the model'} on {', '.join(named) or 'no GPU'}"
    console.print(visible(heading), highlight=False)
    table = Table("profile", "id", "GPUs", "GB each", "GB to fetch", "here", title_justify="left")
    for profile, state in _states(listing):
        cells = (visible(profile.label), profile.id[:12], str(profile.gpu_count or "CPU"))
        table.add_row(*cells, _size(profile.memory_gb), _size(profile.download_gb), state)
    console.print(table)


def _states(listing: Listing) -> Iterator[tuple[ListedProfile, str]]:
    """Yield (profile, state as coloured text) of each profile, those that run here first."""
    for profile in listing.compatible:
        yield profile, f"[green]runs[/green]{f', {profile.note}' if profile.note else ''}"
    for profile in listing.low_memory:
        yield profile, f"[yellow]with --max-model-len {profile.max_model_len}[/yellow]"
    for profile in listing.incompatible:
        yield profile, visible(f"needs {profile.needed}; found {profile.found}")


def _size(gigabytes: float | None) -> str:
    """Return a size in GB as text without unit; "unknown" for None."""
    return "unknown" if gigabytes is None else f"{gigabytes:g}"
