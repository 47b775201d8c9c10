"""The tables, as SQLAlchemy knows them: for migrations and for a caller's own transaction.

The statements that run all day are plain texts in cronq.queries; a test holds the
two together.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, Index, Integer, MetaData, SmallInteger, String, Table, Text, text

_Id = BigInteger().with_variant(Integer(), "sqlite")
_Instant = BigInteger()
"""Microseconds since 1970, UTC."""


def tables(prefix: str) -> MetaData:
    """All tables of cronq under the given name prefix."""
    metadata = MetaData()
    _jobs(prefix, metadata)
    _attempts(prefix, metadata)
    Table(
        f"{prefix}groups",
        metadata,
        Column("name", String(255), primary_key=True),
        Column("job_id", _Id, nullable=False),
    )
    Table(
        f"{prefix}paused",
        metadata,
        Column("queue", String(255), primary_key=True),
        Column("paused_at", _Instant, nullable=False),
    )
    return metadata


def _jobs(prefix: str, metadata: MetaData) -> Table:
    name = f"{prefix}jobs"
    return Table(
        name,
        metadata,
        Column("id", _Id, primary_key=True, autoincrement=True),
        Column("queue", String(255), nullable=False),
        Column("priority", Integer, nullable=False),
        Column("state", String(16), nullable=False),
        Column("available_at", _Instant, nullable=False),
        Column("job_group", String(255)),
        Column("job_key", String(255)),
        Column("unique_key", String(255)),
        Column("task", String(255), nullable=False),
        Column("worker", String(128)),
        Column("token", BigInteger),
        Column("lease_until", _Instant),
        Column("attempt", Integer, nullable=False, server_default="0"),
        Column("max_attempts", Integer, nullable=False),
        Column("spent_before", Integer, nullable=False, server_default="0"),
        Column("snoozes", Integer, nullable=False, server_default="0"),
        Column("crashes", Integer, nullable=False, server_default="0"),
        Column("time_limit", Float),
        Column("created_at", _Instant, nullable=False),
        Column("started_at", _Instant),
        Column("finished_at", _Instant),
        Column("waiting_since", _Instant),
        Column("unknown_since", _Instant),
        Column("kill_requested", SmallInteger, nullable=False, server_default=text("0")),
        Column("is_unique", SmallInteger, nullable=False, server_default=text("0")),
        Column("outcome", String(16)),
        Column("host", String(255)),
        Column("pid", Integer),
        Column("peak_memory", BigInteger),
        Column("memory_before", BigInteger),
        Column("cpu_time", Float),
        Column("event", String(255)),
        Column("retry", Text),
        Column("error_class", String(255)),
        Column("error_message", Text),
        Column("args", Text, nullable=False),
        Column("warnings", Text),
        Column("notes", Text),
        Column("result", Text),
        Column("stdout", Text),
        Column("stderr", Text),
        *_job_indexes(name),
        sqlite_autoincrement=True,
    )


def _job_indexes(name: str) -> list[Index]:
    # SQLite evaluates each condition twice for each changed row, and builds a temporary tree
    # for every IN it meets there: 3.5 microseconds each time, as much as the update itself.
    def partial(suffix: str, *columns: str, where: str, unique: bool = False) -> Index:
        return Index(f"{name}_{suffix}", *columns, unique=unique, sqlite_where=text(where))

    return [
        partial("ready", "queue", "priority", "available_at", "id", "job_group", where="state = 'ready'"),
        partial("future", "available_at", where="state = 'scheduled' OR state = 'retrying' OR state = 'waiting'"),
        partial("held", "worker", where="lease_until IS NOT NULL"),
        partial("ended", "finished_at", where="finished_at IS NOT NULL"),
        partial("unique", "unique_key", where="unique_key IS NOT NULL", unique=True),
        partial("key", "job_key", where="job_key IS NOT NULL"),
        partial(
            "group",
            "job_group",
            "state",
            "priority",
            "available_at",
            "id",
            where="job_group IS NOT NULL",
        ),
        partial("failed", "id", where="state = 'failed'"),
    ]


def _attempts(prefix: str, metadata: MetaData) -> Table:
    name = f"{prefix}attempts"
    return Table(
        name,
        metadata,
        Column("id", _Id, primary_key=True, autoincrement=True),
        Column("job_id", _Id, nullable=False),
        Column("number", Integer, nullable=False),
        Column("outcome", String(16), nullable=False),
        Column("started_at", _Instant),
        Column("finished_at", _Instant),
        Column("host", String(255)),
        Column("pid", Integer),
        Column("exit_status", Integer),
        Column("signal", String(16)),
        Column("error_class", String(255)),
        Column("error_message", Text),
        Column("traceback", Text),
        Column("stdout", Text),
        Column("stderr", Text),
        Index(f"{name}_job", "job_id"),
    )
