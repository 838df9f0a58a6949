"""Run jobs on Dask: a cluster of the server's own, started at the first job, or a scheduler elsewhere."""

import asyncio
import json
import logging
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from importlib import import_module
from typing import TYPE_CHECKING, Any

from nim.agent.jobs.job_store import ACTIVE, FAILURE, INTERRUPTED, RUNNING, SUBMITTED, SUCCESS, JobStore
from nim.plan import AgentPlan, Jobs

if TYPE_CHECKING:
    from distributed import Client, LocalCluster

log = logging.getLogger(__name__)

CONNECT_SECONDS = 30
CLOSE_SECONDS = 2
MOST_ELSEWHERE = 10_000


class JobRunner:
    """Submits jobs and writes their states. `address` and `key` are the engine's."""

    def __init__(self, plan: AgentPlan, jobs: Jobs, store: JobStore, address: str, key: str | None) -> None:
        self._plan, self._jobs, self._store = asdict(plan), jobs, store
        self._address, self._key = address, key
        # A scheduler elsewhere has its own limits.
        most = jobs.max_concurrent if jobs.scheduler_address is None else MOST_ELSEWHERE
        self._places = asyncio.Semaphore(most)
        self._starting = asyncio.Lock()
        self._cluster: LocalCluster | None = None
        self._client: Client | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def submit(self, job_id: str, request: Mapping[str, Any], run: Mapping[str, Any]) -> None:
        """Begin a job that is in the store; it goes on without its client."""
        task = asyncio.create_task(self._run(job_id, request, {**run, "cancel_event": _event_of(job_id)}))
        self._tasks[job_id] = task
        task.add_done_callback(lambda _: self._tasks.pop(job_id, None))

    async def wait(self, job_id: str, seconds: float) -> None:
        """Return once a job has finished, at the latest after `seconds`."""
        if task := self._tasks.get(job_id):
            await asyncio.wait({task}, timeout=seconds)

    async def cancel(self, job_id: str) -> bool:
        """Interrupt a job that has not finished; return whether there was one."""
        if not await self._store.change(job_id, ACTIVE, INTERRUPTED, error="cancelled"):
            return False
        if self._client:
            from distributed import Event

            event: Any = Event(_event_of(job_id), client=self._client)
            await event.set()
        return True

    async def close(self) -> None:
        """Stop the tasks, the connection and the cluster."""
        for task in list(self._tasks.values()):
            task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await task
        for one in (self._client, self._cluster):
            with suppress(Exception):  # what does not close in time ends with the process
                await asyncio.wait_for(one.close(), CLOSE_SECONDS) if one else None

    async def _run(self, job_id: str, request: Mapping[str, Any], run: Mapping[str, Any]) -> None:
        """Run a job once there is a place for it, and write how it ended."""
        try:
            # Imports Dask: half a second, at the first job only, during which the server goes on.
            module = await asyncio.to_thread(import_module, "nim.agent.jobs.run_job")
            async with self._places:
                if not await self._store.change(job_id, (SUBMITTED,), RUNNING):
                    return  # cancelled while it waited
                client = await self._connected()
                future = client.submit(
                    module.run_job,
                    self._plan,
                    self._address,
                    self._key,
                    request,
                    run,
                    key=str(uuid.uuid4()),
                    pure=False,
                )
                result = await future
        except Exception as error:  # Dask's own, or a worker that was lost
            log.warning("job lost: %r", error)
            await self._store.change(job_id, ACTIVE, FAILURE, error=f"{type(error).__name__}: {error}")
            return
        if "error" in result:
            await self._store.change(job_id, ACTIVE, FAILURE, error=result["error"])
        else:
            await self._store.change(job_id, ACTIVE, SUCCESS, output=_text(result["output"]))

    async def _connected(self) -> "Client":
        """Return the connection to Dask; the first job starts the cluster, while others wait."""
        async with self._starting:
            if self._client is None:
                logging.getLogger("distributed").setLevel(self._jobs.log_level)
                self._client = await self._connect()
            return self._client

    async def _connect(self) -> "Client":
        from distributed import Client, LocalCluster

        where: Any = self._jobs.scheduler_address
        if where is None:
            processes, most = self._jobs.workers == "processes", self._jobs.max_concurrent
            where = self._cluster = await LocalCluster(
                n_workers=most if processes else 1,
                threads_per_worker=1 if processes else most,
                processes=processes,
                host="127.0.0.1" if processes else None,  # threads need no network
                dashboard_address=None,
                asynchronous=True,
                silence_logs=self._jobs.log_level,
            )
        client: Client = await Client(where, asynchronous=True, timeout=CONNECT_SECONDS)
        return client


def _text(output: Any) -> str:
    """Return an answer as JSON text, in the envelope of generate."""
    return json.dumps(output if isinstance(output, dict) else {"value": output}, default=str)


def _event_of(job_id: str) -> str:
    """Return the name of the event that cancels a job."""
    return f"nim-agent-cancel-{job_id}"
