"""A process is reported once when it has ended: with pidfd_open, and where that is forbidden."""

import asyncio
import os

import pytest

from nim.proxy.upkeep.watch_workers import WorkerWatch


@pytest.mark.parametrize("forbidden", [False, True])
async def test_a_worker_that_ends_is_reported_once(monkeypatch: pytest.MonkeyPatch, forbidden: bool) -> None:
    def refuse(pid: int) -> int:
        raise PermissionError(pid)

    if forbidden:
        monkeypatch.setattr(os, "pidfd_open", refuse)
    ended, over = list[int](), asyncio.Event()

    def on_ended(pid: int) -> int:
        ended.append(pid)
        over.set()
        return 1

    watch = WorkerWatch(on_ended)
    one, other = [await asyncio.create_subprocess_exec("sleep", "600") for _ in range(2)]
    for pid in (one.pid, one.pid, other.pid):
        watch.watch(pid)
    one.kill()
    await asyncio.wait_for(over.wait(), 30)
    assert ended == [one.pid]
    watch.close()
    other.kill()
    await other.wait()


async def test_a_worker_that_is_gone_already_is_reported() -> None:
    over = asyncio.Event()

    def on_ended(pid: int) -> int:
        over.set()
        return 0

    watch = WorkerWatch(on_ended)
    one = await asyncio.create_subprocess_exec("true")
    await one.wait()
    watch.watch(one.pid)
    await asyncio.wait_for(over.wait(), 30)
    watch.close()
