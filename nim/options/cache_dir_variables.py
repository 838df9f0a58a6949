"""Directories for the engine's caches: always of compiled code, of the rest without a writable home."""

from collections.abc import Iterator

from nim.options.derived_options import HostFacts
from nim.options.option_layers import Entry
from nim.value_origins import Layer, Origin

# Code compiled during a start. By default it is in /tmp or below the home directory: lost with a container,
# and not shared by replicas. Each library writes its files in one step, so that engines may share them.
COMPILE_CACHES = {
    "CUDA_CACHE_PATH": "cuda",
    "FLASHINFER_WORKSPACE_BASE": "flashinfer",
    "TILELANG_CACHE_DIR": "tilelang",
    "TORCHINDUCTOR_CACHE_DIR": "torchinductor",
    "TORCH_EXTENSIONS_DIR": "torch_extensions",
    "TRITON_CACHE_DIR": "triton",
    "TVM_FFI_CACHE_DIR": "tvm",
}
# By default, each of these is below the home directory or beside its source. Without a directory that is
# writable and persistent, the library fails or repeats its work at each start.
HOME_CACHES = {
    "XDG_CACHE_HOME": "home/.cache",
    "XDG_CONFIG_HOME": "home/.config",
    "XDG_DATA_HOME": "home/.local/share",
    "FLASHINFER_CUBIN_DIR": "flashinfer/cubins",
    "MPLCONFIGDIR": "matplotlib",
    "NUMBA_CACHE_DIR": "numba",
    "OUTLINES_CACHE_DIR": "outlines",
    "TORCH_HOME": "torch",
}
NAMELESS = "nim"
_WHY = "no home directory that is this user's own"


def home_entries(environment: HostFacts) -> Iterator[Entry]:
    """Yield an Entry that sets HOME in the runtime cache if the user has no home; nothing otherwise."""
    if not environment.has_home:
        yield _derived("HOME", f"{environment.runtime_cache_dir}/home", _WHY)


def place_entries(environment: HostFacts) -> Iterator[Entry]:
    """Yield Entries of compile caches, of other caches if there is no home, and USER if no name.

    The environment may override them. Without a name, looking up the user would fail.
    """
    for name, place in COMPILE_CACHES.items():
        yield _derived(
            name, f"{environment.runtime_cache_dir}/{place}", "NIM_RUNTIME_CACHE_PATH, NIM_CACHE_PATH"
        )
    for name, place in HOME_CACHES.items() if not environment.has_home else ():
        yield _derived(name, f"{environment.runtime_cache_dir}/{place}", _WHY)
    for name in () if environment.has_name else ("USER", "LOGNAME"):
        yield _derived(name, NAMELESS, "this user has no name")


def _derived(name: str, value: str, place: str) -> Entry:
    """Return an Entry of the derived layer whose origin is the reason `place`."""
    return Entry(name=name, value=value, origin=Origin(layer=Layer.DERIVED, place=place))
