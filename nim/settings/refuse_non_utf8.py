"""Variables and arguments that are not UTF-8 text: refused, since no JSON can carry them."""

from collections.abc import Iterator, Mapping, Sequence

from nim.errors import SettingsError

# Those that become part of a plan. Others are passed on to the engine byte by byte.
_PREFIXES = ("NIM_", "VLLM_", "HF_", "CUDA_", "XDG_")
_NAMES = ("HOME", "TMPDIR", "PATH", "USER", "LOGNAME")


def refuse_other_text(environ: Mapping[str, str], arguments: Sequence[str]) -> None:
    """Raise SettingsError for the first variable or argument that is not UTF-8; else return None."""
    for name, value in environ.items():
        if name.startswith(_PREFIXES) or name in _NAMES:
            for fault in _faults(value):
                hint = f'printf %s "${name}" | od -c shows it'
                raise SettingsError(f"cannot use {name}: {fault}", hint=hint)
    for number, word in enumerate(arguments, start=1):
        for fault in _faults(word):
            raise SettingsError(f"cannot use argument {number} of the command line: {fault}")


def _faults(text: str) -> Iterator[str]:
    """Yield one text that names the first byte that is not UTF-8; nothing if all are."""
    at = next((n for n, character in enumerate(text) if "\ud800" <= character <= "\udfff"), None)
    if at is not None:
        byte = ord(text[at]) - 0xDC00
        before = len(text[:at].encode("utf-8", "surrogateescape"))
        yield f"byte {before + 1} of its value (0x{byte:02x}) is not UTF-8 text"
