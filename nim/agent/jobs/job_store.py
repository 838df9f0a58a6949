"""The table of jobs. Only the server writes it; each change of a state names the states it may follow."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Column, Integer, MetaData, String, Table, Text, event, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

SUBMITTED, RUNNING, SUCCESS, FAILURE, INTERRUPTED = (
    "submitted",
    "running",
    "success",
    "failure",
    "interrupted",
)
ACTIVE, FINISHED = (SUBMITTED, RUNNING), (SUCCESS, FAILURE, INTERRUPTED)
BUSY_SECONDS = 30

_METADATA = MetaData()
# Times are ISO text in UTC, which every database compares and returns alike.
_JOBS = Table(
    "nim_agent_jobs",
    _METADATA,
    Column("job_id", String(255), primary_key=True),
    Column("status", String(11), nullable=False, index=True),
    Column("error", Text),
    Column("output", Text),
    Column("created_at", String(26), nullable=False),
    Column("updated_at", String(26), nullable=False),
    Column("expiry_seconds", Integer, nullable=False),
)


class JobStore:
    """The jobs in the database at `url`, as SQLAlchemy writes it."""

    def __init__(self, url: str) -> None:
        self._engine: AsyncEngine = create_async_engine(url)
        if self._engine.dialect.name == "sqlite":
            event.listen(self._engine.sync_engine, "connect", _prepare_sqlite)

    async def open(self) -> int:
        """Create a missing table; return how many jobs a former server left, which are now interrupted."""
        async with self._engine.begin() as link:
            await link.run_sync(_METADATA.create_all)
            left = await link.execute(
                update(_JOBS)
                .where(_JOBS.c.status.in_(ACTIVE))
                .values(status=INTERRUPTED, error="the server ended before the job did", updated_at=_now())
            )
            return int(left.rowcount)

    async def add(self, job_id: str, expiry_seconds: int) -> bool:
        """Add a submitted job; return False if there is one with this id. One of many callers gets True."""
        now = _now()
        row = {"job_id": job_id, "status": SUBMITTED, "created_at": now, "updated_at": now}
        try:
            async with self._engine.begin() as link:
                await link.execute(insert(_JOBS).values(**row, expiry_seconds=expiry_seconds))
        except IntegrityError:
            return False
        return True

    async def change(
        self,
        job_id: str,
        after: Sequence[str],
        status: str,
        error: str | None = None,
        output: str | None = None,
    ) -> bool:
        """Set the state of a job that is in one of the states `after`; return whether it was."""
        async with self._engine.begin() as link:
            changed = await link.execute(
                update(_JOBS)
                .where(_JOBS.c.job_id == job_id, _JOBS.c.status.in_(after))
                .values(status=status, error=error, output=output, updated_at=_now())
            )
            return bool(changed.rowcount)

    async def find(self, job_id: str) -> Mapping[str, Any] | None:
        """Return a job as a mapping; None if there is none with this id."""
        async with self._engine.connect() as link:
            row = (await link.execute(select(_JOBS).where(_JOBS.c.job_id == job_id))).mappings().first()
        return dict(row) if row else None

    async def close(self) -> None:
        """Close all connections."""
        await self._engine.dispose()


def expires_at(row: Mapping[str, Any]) -> str | None:
    """Return when the files of a finished job may be deleted, as ISO text with Z; None while it is active."""
    if row["status"] in ACTIVE:
        return None
    moment = datetime.fromisoformat(row["updated_at"]) + timedelta(seconds=row["expiry_seconds"])
    return f"{moment.isoformat(timespec='microseconds')}Z"


def _now() -> str:
    """Return the time in UTC as ISO text without a zone."""
    return datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")


def _prepare_sqlite(connection: Any, _: Any) -> None:
    """Let readers go on while a writer writes, and writers wait for each other."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute(f"PRAGMA busy_timeout={BUSY_SECONDS * 1000}")
    cursor.close()
