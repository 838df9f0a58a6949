"""Group the layers' caches into one block pool as the engine does, and size a sequence in it."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from nim.models.cache.kv_page_size import CacheSettings, Page
from nim.models.types import LayerKind

# Kinds of layers with up to this many times the layers of the rarest kind are padded, not split.
_PADDING_RATIO = 1.5


@dataclass(frozen=True, slots=True)
class Group:
    """Layers that share a block table: a block holds a page of each."""

    pages: tuple[Page, ...]

    def blocks(self, settings: CacheSettings, tokens: int) -> int:
        """Return the blocks that a sequence of `tokens` takes in this group: the most of any page."""
        return max(page.blocks(settings, tokens) for page in self.pages)

    def page_bytes(self, layers: range) -> int:
        """Return the bytes of one block of this group, for its pages of the layers in `layers`."""
        here = frozenset(layers)
        return sum(page.bytes for page in self.pages if page.layers & here)

    def without_repeats(self) -> "Group":
        """Return the group with one page of each sort, which takes as many blocks and is sized faster."""
        return Group(tuple(dict.fromkeys(self.pages)))


def group_pages(pages: Sequence[Page], *, block_outermost: bool) -> tuple[Group, ...]:
    """Return the engine's cache groups for all layers' pages as a tuple of `Group`; () without pages."""
    if not pages:
        return ()
    if _is_one_type(pages):
        return (Group(tuple(pages)),)
    if block_outermost and len({page.bytes for page in pages}) > 1:
        return _packed(pages)
    return _equal_groups(_unified(pages))


def block_bytes(groups: Sequence[Group], layers: range) -> int:
    """Return the bytes of a pool block, the widest group's, on the rank with `layers`; 0 without groups."""
    return max((group.page_bytes(layers) for group in groups), default=0)


def _is_one_type(pages: Sequence[Page]) -> bool:
    """Return whether all pages have one kind and block size, so that one group can hold them."""
    first = pages[0]
    if any(page.block != first.block for page in pages):
        return False
    if first.is_full:
        return all(page.is_full for page in pages)
    if first.kind == LayerKind.STATE:
        return all(page.kind == first.kind and page.bytes == first.bytes for page in pages)
    if first.kind in (LayerKind.SLIDING, LayerKind.CHUNKED):
        return all((p.kind, p.window, p.latent) == (first.kind, first.window, first.latent) for p in pages)
    return all(page.kind == first.kind and page.ring == first.ring for page in pages)


def _unified(pages: Sequence[Page]) -> list[Page]:
    """Return a list of the pages, enlarged to the largest one's bytes: by larger blocks, else by padding."""
    largest = max(page.bytes for page in pages)
    return [_enlarged(page, largest) for page in pages]


def _enlarged(page: Page, size: int) -> Page:
    """Return a copy of the page with `size` bytes, by a larger block or by padding; as it is if equal."""
    if page.bytes == size:
        return page
    if page.kind != LayerKind.STATE and size % page.bytes == 0:
        return replace(page, block=page.block * (size // page.bytes), padded=None)
    return replace(page, padded=size)


def _equal_groups(pages: Sequence[Page]) -> tuple[Group, ...]:
    """Return a tuple of `Group`s of equally many pages of one kind; the last of a kind may be smaller."""
    buckets: dict[Page, list[Page]] = defaultdict(list)
    for page in pages:
        buckets[_merged_key(page)].append(page)
    fewest, most = min(map(len, buckets.values())), max(map(len, buckets.values()))
    size = most if most < fewest * _PADDING_RATIO else fewest
    return tuple(
        Group(tuple(bucket[start :: -(-len(bucket) // size)]))
        for bucket in buckets.values()
        for start in range(-(-len(bucket) // size))
    )


def _merged_key(page: Page) -> Page:
    """Return a copy of the page without layer numbers, as the key of pages that can share a group."""
    return replace(page, layers=frozenset())


def _packed(pages: Sequence[Page]) -> tuple[Group, ...]:
    """Return a tuple of `Group`s of pages of different sizes that lie side by side in a block."""
    buckets: list[list[Page]] = []
    for page in pages:
        bucket = next((b for b in buckets if _is_one_type([*b, page])), None)
        if bucket is None:
            buckets.append([page])
        else:
            bucket.append(page)
    repeats = _repeats(buckets)
    anchor = max(_widest(b, len(b) if _is_state(b, repeats) else _parts(b, repeats)) for b in buckets)
    return tuple(chain.from_iterable(_split(b, _count(b, repeats, anchor)) for b in buckets))


def _count(bucket: Sequence[Page], repeats: int | None, anchor: int) -> int:
    """Return the number of groups into which a bucket (pages of one type) is divided."""
    count = _parts(bucket, repeats)
    if not _is_state(bucket, repeats):
        return count
    fitting = max(anchor // bucket[0].bytes, 1)
    return max(count, -(-len(bucket) // fitting))


def _sizes(bucket: Sequence[Page]) -> dict[int, list[Page]]:
    """Return the bucket's pages as a dict from bytes to the pages of that size."""
    sizes: dict[int, list[Page]] = defaultdict(list)
    for page in bucket:
        sizes[page.bytes].append(page)
    return sizes


def _is_balanced(bucket: Sequence[Page]) -> bool:
    """Return whether a bucket has equally many pages of each size."""
    return len({len(pages) for pages in _sizes(bucket).values()}) == 1


def _most_of_a_size(bucket: Sequence[Page]) -> int:
    """Return the largest number of pages of one size."""
    return max(len(pages) for pages in _sizes(bucket).values())


def _repeats(buckets: Sequence[Sequence[Page]]) -> int | None:
    """Return the number of layer-pattern repeats per group with least padding; None if no bucket needs it."""
    balanced = [bucket for bucket in buckets if _is_balanced(bucket)]
    fewest = max((_most_of_a_size(bucket) for bucket in balanced if len(_sizes(bucket)) > 1), default=0)
    if not fewest:
        return None
    counts = [_most_of_a_size(bucket) for bucket in balanced]
    candidates = range(fewest, max(fewest, *counts) + 1)
    return min(candidates, key=lambda d: (sum(-count % d for count in counts), -d))


def _parts(bucket: Sequence[Page], repeats: int | None) -> int:
    """Return the number of parts into which a bucket's pages are split; 1 if they are not."""
    return -(-_most_of_a_size(bucket) // repeats) if repeats and _is_balanced(bucket) else 1


def _is_state(bucket: Sequence[Page], repeats: int | None) -> bool:
    """Return whether a bucket's pages keep their size whatever the context (states, rings, some windows)."""
    first = bucket[0]
    return (
        first.kind == LayerKind.STATE or first.ring or (repeats is None and first.kind == LayerKind.SLIDING)
    )


def _widest(bucket: Sequence[Page], parts: int) -> int:
    """Return the bytes of the largest of `parts` parts of a bucket."""
    return sum(-(-len(pages) // parts) * size for size, pages in _sizes(bucket).items())


def _split(bucket: Sequence[Page], parts: int) -> Iterable[Group]:
    """Return a bucket's pages as `parts` groups."""
    if parts == 1:
        return (Group(tuple(bucket)),)
    repeats = list(zip(*_sizes(bucket).values(), strict=True))
    return tuple(Group(tuple(chain.from_iterable(repeats[start::parts]))) for start in range(parts))
