"""The lock on a model's directory where the file system has locks, and where it has none."""

import errno
import threading
from pathlib import Path

import pytest

from nim.fetch.download import model_lock
from nim.fetch.download.model_lock import held
from tests.fakes.launch import wait_until


def no_flock(*_: object) -> None:
    raise OSError(errno.EOPNOTSUPP, "not here")


@pytest.mark.parametrize("has_flock", [True, False])
def test_one_holds_it_and_the_other_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_flock: bool
) -> None:
    if not has_flock:
        monkeypatch.setattr("fcntl.flock", no_flock)
    said: list[str] = []
    order: list[str] = []

    def second() -> None:
        with held(tmp_path / "lock", said.append) as taken:
            order.append(f"second {taken}")

    with held(tmp_path / "lock", said.append) as taken:
        assert taken
        thread = threading.Thread(target=second)
        thread.start()
        wait_until(lambda: said, "the second to wait")
        order.append("first over")
    thread.join()
    assert order == ["first over", "second True"]
    assert "fetches it into the same cache: waiting for that" in said[0]
    assert not (tmp_path / "lock.lease").exists()


def test_who_waits_stops_when_all_is_there(tmp_path: Path) -> None:
    with (
        held(tmp_path / "lock", lambda _: None),
        held(tmp_path / "lock", lambda _: None, may_stop=lambda: True) as taken,
    ):
        assert not taken


def test_a_lease_that_nobody_renews_is_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its holder was killed, and could not remove it."""
    monkeypatch.setattr("fcntl.flock", no_flock)
    monkeypatch.setattr(model_lock, "STALE_SECONDS", 0.5)
    (tmp_path / "lock.lease").write_text('{"host": "gone", "pid": 1}')
    said: list[str] = []
    with held(tmp_path / "lock", said.append) as taken:
        assert taken
    assert said == ["process 1 on gone fetches it into the same cache: waiting for that"]


def test_a_lease_that_is_renewed_is_not_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fcntl.flock", no_flock)
    monkeypatch.setattr(model_lock, "STALE_SECONDS", 1.0)
    monkeypatch.setattr(model_lock, "RENEW_SECONDS", 0.05)
    looks: list[int] = []

    def enough() -> bool:
        looks.append(1)
        return len(looks) > 15

    with (
        held(tmp_path / "lock", lambda _: None),
        held(tmp_path / "lock", lambda _: None, may_stop=enough) as taken,
    ):
        assert not taken
