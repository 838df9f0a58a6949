"""Run jobs on Dask: a cluster of the server's own, started at the first job, or a scheduler elsewhere."""

import asyncio
import json
import logging
import uuid
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from dataclasses import asdict
from importlib import import_module
from typing import TYPE_CHECKING, Any

from nim.agent.encodable import encodable
from nim.agent.jobs.job_store import ACTIVE, FAILURE, INTERRUPTED, RUNNING, SUBMITTED, SUCCESS, JobStore
from nim.agent.workflows.build_workflow import time_limit_seconds
from nim.frozen_dataclass import frozen_dataclass
from nim.plan import AgentPlan, Jobs

if TYPE_CHECKING:
    from distributed import Client, LocalCluster

log = logging.getLogger(__name__)

CONNECT_SECONDS = 30
CLOSE_SECONDS = 2
MOST_ELSEWHERE = 10_000
MOST_WAITING = 1000
MOST_WAITING_BYTES = 256 * 1024 * 1024
# Behind the time limit of a workflow, which its worker enforces.
SLACK_SECONDS = 60


@frozen_dataclass
class _Run:
    """A job that has not ended: the event of Dask that cancels it, and the size of its request."""

    task: asyncio.Task[None]
    cancel_event: str
    size: int


class JobRunner:
    """Submits jobs and writes their states. `address` and `key` are the engine's."""

    def __init__(self, plan: AgentPlan, jobs: Jobs, store: JobStore, address: str, key: str | None) -> None:
        self._plan, self._jobs, self._store = asdict(plan), jobs, store
        self._address, self._key = address, key
        # A scheduler elsewhere has its own limits.
        self._most = jobs.max_concurrent if jobs.scheduler_address is None else MOST_ELSEWHERE
        self._places = asyncio.Semaphore(self._most)
        self._longest_seconds = time_limit_seconds(plan) + SLACK_SECONDS
        self._starting = asyncio.Lock()
        self._cluster: LocalCluster | None = None
        self._client: Client | None = None
        self._runs: dict[str, _Run] = {}

    @property
    def is_full(self) -> bool:
        """Return whether no further job may wait; those that run count as well."""
        size = sum(run.size for run in self._runs.values())
        return len(self._runs) >= self._most + MOST_WAITING or size >= MOST_WAITING_BYTES

    def submit(self, job_id: str, request: Mapping[str, Any], run: Mapping[str, Any], size: int) -> None:
        """Begin a job that is in the store; it goes on without its client. `size`: its bytes in memory."""
        cancel_event = f"nim-agent-cancel-{uuid.uuid4()}"  # servers may share a scheduler, and ids of jobs
        task = asyncio.create_task(self._run(job_id, request, {**run, "cancel_event": cancel_event}))
        self._runs[job_id] = _Run(task=task, cancel_event=cancel_event, size=size)
        task.add_done_callback(lambda _: self._runs.pop(job_id, None))

    async def wait(self, job_id: str, seconds: float) -> None:
        """Return once a job has finished, at the latest after `seconds`."""
        if run := self._runs.get(job_id):
            await asyncio.wait({run.task}, timeout=seconds)

    async def cancel(self, job_id: str) -> bool:
        """Interrupt a job that has not finished; return whether there was one."""
        if not await self._store.change(job_id, ACTIVE, INTERRUPTED, error="cancelled"):
            return False
        run = self._runs.get(job_id)
        if run and self._client:
            from distributed import Event

            event: Any = Event(run.cancel_event, client=self._client)
            await event.set()
        return True

    async def close(self) -> None:
        """Stop the tasks, the connection and the cluster."""
        for run in list(self._runs.values()):
            run.task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await run.task
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
                result = await self._result(job_id, module.run_job, request, run)
            if result is None:
                return  # cancelled while the cluster started
            if "error" in result:
                await self._store.change(job_id, ACTIVE, FAILURE, error=encodable(result["error"]))
            else:
                await self._store.change(job_id, ACTIVE, SUCCESS, output=_text(result["output"]))
        except Exception as error:  # Dask's own, a worker that was lost, or an output that is no JSON
            log.warning("job lost: %r", error)
            text = encodable(f"{type(error).__name__}: {error}")
            await self._store.change(job_id, ACTIVE, FAILURE, error=text)

    async def _result(
        self, job_id: str, run_job: Any, request: Mapping[str, Any], run: Mapping[str, Any]
    ) -> Mapping[str, Any] | None:
        """Return what the worker returns; None if the job was cancelled before there was a connection.

        TimeoutError if there is no worker at the end of a time in which the job should have ended.
        """
        client: Any = await self._connected()
        row = await self._store.find(job_id)
        if row is None or row["status"] != RUNNING:
            return None
        given = (self._plan, self._address, self._key, request, run)
        future: Awaitable[Any] = client.submit(run_job, *given, key=str(uuid.uuid4()), pure=False)
        waiting = asyncio.ensure_future(future)
        try:
            while not (await asyncio.wait({waiting}, timeout=self._longest_seconds))[0]:
                if not await client.nthreads():
                    raise TimeoutError("the scheduler has no workers")
            result: Mapping[str, Any] = waiting.result()
            return result
        finally:
            waiting.cancel()

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
