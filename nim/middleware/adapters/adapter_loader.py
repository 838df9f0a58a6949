"""Load the adapters of NIM_PEFT_SOURCE at each start of the engine, and as the directory changes."""

import asyncio
import json
import logging
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from aiohttp import ClientSession
from prometheus_client.metrics_core import Metric

from nim.middleware.adapters.adapter_state import (
    AdapterState,
    Counts,
    Standing,
    adapters_body,
    of_adapters,
)
from nim.middleware.adapters.check_adapter import Checked, check_adapter
from nim.middleware.adapters.copy_adapter import ChangedMeanwhile, Copies
from nim.middleware.adapters.engine_adapters import EngineGone, list_models, load, unload
from nim.middleware.adapters.kept_requests import Choices
from nim.middleware.adapters.scan_source import FoundAdapter, scan_source
from nim.plan import ADAPTERS_DIR, ADAPTERS_FILE, AdapterPlan, Plan

log = logging.getLogger(__name__)

# Files that changed less than this ago may be changing still.
SETTLE_SECONDS = 2.0
# How long a start waits for such files to come to rest.
MOST_SETTLING_SECONDS = 10.0
# How often an adapter is looked at whose files are not whole yet, however long the refresh interval.
WAITING_SECONDS = 10.0
TICK_SECONDS, STARTING_TICK_SECONDS = 1.0, 0.25


class AdapterLoader:
    """Compares the engine's list of models with the source, and removes the difference.

    Nothing is remembered of what was loaded: the engine lists each adapter with the path of its copy, which
    stands for one version of its files. So an engine, or this process, may restart at any moment. PID 1
    removes the status file when it starts an engine, and calls the service ready when the file says so.
    """

    def __init__(self, plan: Plan, adapters: AdapterPlan) -> None:
        self._plan, self._status_file = adapters, plan.file(ADAPTERS_FILE)
        self.source = Path(adapters.source)
        self.parent = plan.model.served_names[0] if plan.model.served_names else plan.model.name
        self.choices = Choices(plan.file(ADAPTERS_DIR) / "choices.json")
        self._copies = Copies(plan.file(ADAPTERS_DIR) / "copies")
        self._checked: dict[str, tuple[str, Checked]] = {}
        self.states: dict[str, AdapterState] = {}
        self.counts = Counts()
        self._lock = asyncio.Lock()
        self._scan_at, self._is_complete, self._settles, self._source_fault = 0.0, False, False, ""
        self._incomplete_since: float | None = None

    def report(self) -> list[dict[str, Any]]:
        """Return the adapters as a list of dicts for /v1/metadata."""
        return adapters_body(self._by_name(), self.parent)

    def metrics(self) -> Iterator[Metric]:
        """Yield the metric families of adapters."""
        return of_adapters(self._by_name(), self.counts)

    def _by_name(self) -> list[AdapterState]:
        """Return the list of states, by name."""
        return [self.states[name] for name in sorted(self.states)]

    async def run(self, engine: ClientSession) -> None:
        """Keep the engine's adapters in step with the source until cancelled."""
        while True:
            if not (self._is_complete and self._status_file.exists()) or time.monotonic() >= self._scan_at:
                try:
                    await self.reconcile(engine)
                except Exception:
                    log.exception("cannot bring the adapters up to date")
                    self._scan_at = time.monotonic() + TICK_SECONDS
            await asyncio.sleep(TICK_SECONDS if self._is_complete else STARTING_TICK_SECONDS)

    async def reconcile(self, engine: ClientSession) -> bool:
        """Load, replace and unload what differs; return False if the engine does not answer."""
        async with self._lock:
            try:
                loaded = await list_models(engine)
                self._is_complete = self._is_complete and self._status_file.exists()
                await self._reconcile(engine, loaded)
            except EngineGone:
                self._is_complete = False
                return False
            if self._is_complete or not self._may_settle():
                self._is_complete, self._incomplete_since = True, None
                self._write_status(len(self.states))
            return True

    def _may_settle(self) -> bool:
        """Return whether a start should wait a moment for adapters whose files have just changed."""
        now = time.monotonic()
        self._incomplete_since = self._incomplete_since or now
        return self._settles and now - self._incomplete_since < MOST_SETTLING_SECONDS

    async def _reconcile(self, engine: ClientSession, loaded: dict[str, str]) -> None:
        """Remove the differences between the engine's list, {name: path}, and the source."""
        wanted = await asyncio.to_thread(self._find)
        if wanted is None:
            return
        names = {one.name for one in wanted}
        for name in [name for name, path in loaded.items() if self._copies.has(path) and name not in names]:
            await self._unload(engine, name)
            log.info("the adapter %s is no longer served", name)
            del loaded[name]
        for gone in self.states.keys() - names:
            del self.states[gone]
            self._checked.pop(gone, None)
        for number, found in enumerate(wanted):
            if not self._is_complete:
                self._write_status(number, len(wanted))
            await self._bring(engine, found, loaded)
        used = [path for path in loaded.values() if self._copies.has(path)]
        await asyncio.to_thread(self._copies.remove_unused, used)
        self._plan_next_scan(wanted)

    def _find(self) -> tuple[FoundAdapter, ...] | None:
        """Return the wanted adapters (in a thread); None, logged once, if the source is unreadable."""
        try:
            found = self.choices.apply(scan_source(self.source, self._plan.name))
        except OSError as error:
            if str(error) != self._source_fault:
                log.error("cannot read NIM_PEFT_SOURCE; its adapters stay as they are: %s", error)
            self._source_fault = str(error)
            self._scan_at = time.monotonic() + (self._plan.refresh_seconds or float("inf"))
            return None
        self._source_fault = ""
        return found

    def _plan_next_scan(self, wanted: tuple[FoundAdapter, ...]) -> None:
        """Set when the source is read again: soon while files are new, else after the refresh interval."""
        now = time.time()
        seconds = self._plan.refresh_seconds or float("inf")
        if any(state.standing is Standing.WAITING for state in self.states.values()):
            seconds = min(seconds, WAITING_SECONDS)
        self._settles = any(now - one.changed_at < SETTLE_SECONDS for one in wanted)
        seconds = SETTLE_SECONDS if self._settles else seconds
        self._scan_at = time.monotonic() + seconds

    async def _bring(self, engine: ClientSession, found: FoundAdapter, loaded: dict[str, str]) -> None:
        """Have the engine serve one adapter as it now is, unless it does, or its files are no good."""
        state, path = self.states.get(found.name), str(self._copies.path(found))
        at = loaded.get(found.name)
        if at == path:
            if state is None or state.standing is not Standing.LOADED:
                checked = await asyncio.to_thread(self._check, found)
                self._set(found, Standing.LOADED, checked)
            return
        if state and state.signature == found.signature and state.standing is Standing.REFUSED:
            if self._is_complete:
                return
        elif time.time() - found.changed_at < SETTLE_SECONDS:
            self._wait(found, Checked(fault="its files have just changed"), at)
            return
        if at is not None and not self._copies.has(at):
            self._refuse(found, Checked(fault="its name is taken by another model or adapter"), None)
            return
        checked = await asyncio.to_thread(self._check, found)
        if checked.fault:
            (self._wait if checked.is_incomplete else self._refuse)(found, checked, at)
            return
        await self._load(engine, found, checked, loaded)

    def _check(self, found: FoundAdapter) -> Checked:
        """Return the Checked of an adapter, from memory if its files have not changed (in a thread)."""
        signature, checked = self._checked.get(found.name, ("", Checked()))
        if signature != found.signature:
            checked = check_adapter(found, self._plan)
            self._checked[found.name] = found.signature, checked
        return checked

    async def _load(
        self, engine: ClientSession, found: FoundAdapter, checked: Checked, loaded: dict[str, str]
    ) -> None:
        """Copy an adapter and have the engine load it, in place of an older version if it has one."""
        name, began = found.name, time.monotonic()
        try:
            path = str(await asyncio.to_thread(self._copies.make, found))
        except (ChangedMeanwhile, OSError) as error:
            fault = f"it cannot be copied: {error}" if str(error) else "its files have just changed"
            self._wait(found, Checked(fault=fault), loaded.get(name))
            return
        # Not in place: vLLM would then read the files again at every step.
        before = loaded.pop(name, None)
        if before:
            await self._unload(engine, name)
        if (refused := await self._count_load(engine, name, path)) is None:
            loaded[name] = path
            self._set(found, Standing.LOADED, checked)
            rank = "" if checked.rank is None else f"rank {checked.rank}, "
            what = "is served in a new version" if before else "is served"
            log.info("the adapter %s %s (%s%.2f s)", name, what, rank, time.monotonic() - began)
            if checked.doubt:
                log.warning("%s", checked.doubt)
            return
        if before and await self._count_load(engine, name, before) is None:
            loaded[name] = before
        fault = refused.replace(path, str(found.directory))
        self._refuse(found, Checked(fault=fault, rank=checked.rank, base=checked.base), loaded.get(name))

    async def _count_load(self, engine: ClientSession, name: str, path: str) -> str | None:
        """Have the engine load an adapter, count the result, return why it failed or None."""
        fault = await load(engine, name, path, self._plan.api_timeout_seconds)
        self.counts.loads["failed" if fault else "ok"] += 1
        return fault

    async def _unload(self, engine: ClientSession, name: str) -> None:
        """Have the engine unload an adapter, and count the result; a failure is logged."""
        fault = await unload(engine, name, self._plan.api_timeout_seconds)
        self.counts.unloads["failed" if fault else "ok"] += 1
        if fault:
            log.warning("cannot unload the adapter %s: %s", name, fault)

    def _wait(self, found: FoundAdapter, checked: Checked, served: str | None) -> None:
        """Note that an adapter is not whole yet; log it once, unless it has only just changed."""
        known = self.states.get(found.name)
        if served and known and known.standing is Standing.LOADED:
            return  # the version before it goes on
        if checked.is_incomplete and not (known and known.message == checked.fault):
            log.info("the adapter %s waits for its files: %s", found.name, checked.fault)
        self._set(found, Standing.WAITING, checked)

    def _refuse(self, found: FoundAdapter, checked: Checked, served: str | None) -> None:
        """Note why an adapter is not loaded; log it once for each version of its files."""
        known = self.states.get(found.name)
        kept = "; the version before it is still served" if served else ""
        message = f"{checked.fault}{kept}"
        if not (known and known.signature == found.signature and known.message == message):
            log.warning("the adapter %s is not served: %s", found.name, message)
        self._set(found, Standing.REFUSED, checked, message)

    def _set(
        self, found: FoundAdapter, standing: Standing, checked: Checked, message: str | None = None
    ) -> None:
        """Keep the state of an adapter."""
        self.states[found.name] = AdapterState(
            name=found.name,
            standing=standing,
            signature=found.signature,
            rank=checked.rank,
            base=checked.base,
            message=message or checked.fault,
            loaded_at=time.time() if standing is Standing.LOADED else None,
        )

    def _write_status(self, done: int, total: int | None = None) -> None:
        """Write how far the adapters are for PID 1; without a total they are complete. Errors are ignored."""
        status = {"complete": total is None, "done": done, "total": done if total is None else total}
        fresh = self._status_file.with_suffix(".new")
        with suppress(OSError, ValueError):
            if total is None and json.loads(self._status_file.read_bytes() or b"null") == status:
                return
        with suppress(OSError):
            fresh.write_text(json.dumps(status), encoding="utf-8")
            fresh.replace(self._status_file)
