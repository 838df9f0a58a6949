"""Files of API keys as editors write them, and keys that no client could send."""

from pathlib import Path

import pytest

from nim.errors import PreflightError
from nim.plan import ApiKeys
from nim.preflight.read_api_keys_file import LARGEST_FILE, digest_of, digests_for_nginx, read_api_keys

FROM_ENVIRONMENT = ApiKeys(file=None, from_environment=True, nginx_modules=())
LINE = f"alice sha256:{digest_of('one')}"


def written(directory: Path, data: bytes) -> str:
    """Return the path of a file of keys with these bytes."""
    path = directory / "keys"
    path.write_bytes(data)
    return str(path)


@pytest.mark.parametrize(
    "text",
    [
        LINE,
        f"{LINE}\n",
        f"{LINE}\r\n",
        f"\ufeff{LINE}\r\n",
        f"# keys\n\n{LINE}  # of the team\n",
        f"\t{LINE}\n",
        f"alice   sha256:{digest_of('one').upper()}",
    ],
    ids=["no line end", "plain", "CRLF", "byte order mark", "comments", "indented", "upper case"],
)
def test_a_line_is_read_however_it_was_written(tmp_path: Path, text: str) -> None:
    assert read_api_keys(written(tmp_path, text.encode())) == {digest_of("one"): "alice"}


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "it has no keys"),
        (b"# nobody\n", "it has no keys"),
        (b"alice nim-a-key\n", "line 1 is not a name and a digest"),
        (b"alice sha256:12\n", "line 1 is not a name and a digest"),
        (f"al ice sha256:{digest_of('one')}".encode(), "line 1 is not a name and a digest"),
        (f"{LINE}\nbob sha256:{digest_of('one')}".encode(), "line 2 repeats the key of alice"),
        (f"{LINE}\nalice sha256:{digest_of('two')}".encode(), "line 2 repeats the name alice"),
        (LINE.encode("utf-16"), "it is not UTF-8 text"),
        (b"#" * (LARGEST_FILE + 1), "it is larger than 4 MiB"),
    ],
)
def test_an_unusable_file_is_refused_without_showing_its_lines(tmp_path: Path, data: bytes, why: str) -> None:
    with pytest.raises(PreflightError, match=why) as refused:
        read_api_keys(written(tmp_path, data))
    assert "nim-a-key" not in str(refused.value)


def test_a_missing_file_and_a_directory_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PreflightError, match="No such file"):
        read_api_keys(str(tmp_path / "none"))
    with pytest.raises(PreflightError, match="Is a directory"):
        read_api_keys(str(tmp_path))


def test_ten_thousand_keys_are_read(tmp_path: Path) -> None:
    lines = [f"name-{number} sha256:{digest_of(str(number))}" for number in range(10_000)]
    assert len(read_api_keys(written(tmp_path, "\n".join(lines).encode()))) == 10_000


def test_a_key_of_the_environment_that_nginx_would_not_look_for_is_refused() -> None:
    assert "VLLM_API_KEY " in digests_for_nginx(FROM_ENVIRONMENT, {"VLLM_API_KEY": "k" * 1024})
    with pytest.raises(PreflightError, match="1025 characters: expected at most 1024"):
        digests_for_nginx(FROM_ENVIRONMENT, {"VLLM_API_KEY": "k" * 1025})
