"""Define the tables for SQLAlchemy, which migrations and a caller's own transaction use.

All other statements are plain texts in cronq/storage/sql; a test compares the two.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import TYPE_CHECKING

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.mysql import LONGTEXT, MEDIUMTEXT

from cronq.storage.sql.columns import FUTURE_INDEX
from cronq.storage.sql.dialect import DIALECTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from cronq.storage.sql.dialect import Dialect

_Id = BigInteger().with_variant(Integer(), "sqlite")
_Instant = BigInteger()
"""Microseconds since 1970, UTC."""

_Seconds = Float(53)
_Long = Text().with_variant(MEDIUMTEXT(), "mysql", "mariadb")
_Longest = Text().with_variant(LONGTEXT(), "mysql", "mariadb")
"""MySQL's TEXT holds 64 KiB."""

_ENDED = "ended", "finished_at"
_COUNTED = "counted", "state", "queue", "finished_at"
"""This index also serves counting: a million jobs take 60 ms, and 700 ms through the table."""

LONGEST_LOCAL_TIME = 96
"""Characters of a local time with its offset and the name of its zone, as RFC 9557 writes it."""


@lru_cache(maxsize=16)  # each revision needs them; building them took most of the time of a new database
def tables(prefix: str, family: str = "sqlite", *, collation: str | None = None) -> MetaData:
    """Return all tables with the given name prefix, with the indexes that this family of databases needs.

    `collation` is for MySQL: names and keys must be compared by every byte. Callers share the object: don't change it.
    """
    metadata = MetaData()
    table = partial(Table, mysql_engine="InnoDB", mysql_charset="utf8mb4", mysql_collate=collation)
    _jobs(prefix, metadata, table, family)
    _attempts(prefix, metadata, table)
    table(
        f"{prefix}groups",
        metadata,
        Column("name", String(255), primary_key=True),
        Column("job_id", _Id, nullable=False),
    )
    table(
        f"{prefix}paused",
        metadata,
        Column("queue", String(255), primary_key=True),
        Column("paused_at", _Instant, nullable=False),
    )
    table(
        f"{prefix}troubles",
        metadata,
        Column("queue", String(255), primary_key=True),
        Column("job_id", _Id, primary_key=True, autoincrement=False),
        Column("since", _Instant, nullable=False),
    )
    table(
        f"{prefix}runs",
        metadata,
        Column("host", String(255), primary_key=True),
        Column("queues", String(255), primary_key=True),
        Column("started_at", _Instant, nullable=False),
        Column("ended_at", _Instant, nullable=False),
        Column("status", Integer, nullable=False),
        Column("error", Text),
    )
    table(
        f"{prefix}actions",
        metadata,
        Column("id", _Id, primary_key=True, autoincrement=True),
        Column("job_id", _Id),
        Column("queue", String(255)),
        Column("verb", String(16), nullable=False),
        Column("at", _Instant, nullable=False),
        Column("who", String(255), nullable=False),
        Column("reason", Text),
        Index(f"{prefix}actions_job", "job_id"),
        Index(f"{prefix}actions_queue", "queue"),
    )
    _workers(prefix, metadata, table)
    _tails(prefix, metadata, table)
    _schedules(prefix, metadata, table)
    _flow(prefix, metadata, table)
    _progress(prefix, metadata, table)
    _limits(prefix, metadata, table)
    _minutes(prefix, metadata, table)
    return metadata


def _schedules(prefix: str, metadata: MetaData, table: Callable[..., Table]) -> None:
    table(
        f"{prefix}schedules",
        metadata,
        Column("name", String(255), primary_key=True),
        Column("definition", _Long, nullable=False),
        Column("next_at", _Instant),
        Column("due_at", _Instant),
        Column("last_at", _Instant),
        Column("tz_version", String(32)),
        Column("paused_at", _Instant),
        Column("paused_until", _Instant),
        Column("paused_by", String(255)),
        Column("reason", Text),
        Column("alerted_at", _Instant),
        Index(f"{prefix}schedules_due", "due_at"),
    )
    table(
        f"{prefix}declarations",
        metadata,
        Column("host", String(255), primary_key=True),
        Column("name", String(255), primary_key=True),
        Column("definition_hash", String(64), nullable=False),
        Column("source", String(255), nullable=False),
        Column("seen_at", _Instant, nullable=False),
        Column("declared_at", _Instant),
    )
    table(
        f"{prefix}fires",
        metadata,
        Column("schedule", String(255), primary_key=True),
        Column("fire_at", _Instant, primary_key=True, autoincrement=False),
        Column("since", _Instant, nullable=False),
        Column("count", Integer, nullable=False),
        Column("outcome", String(16), nullable=False),
        Column("reason", Text),
        Column("job_id", _Id),
        Column("late", BigInteger, nullable=False),
        Column("host", String(255), nullable=False),
        Column("decided_at", _Instant, nullable=False),
        Index(f"{prefix}fires_job", "job_id"),
    )


def _flow(prefix: str, metadata: MetaData, table: Callable[..., Table]) -> None:
    table(
        f"{prefix}edges",
        metadata,
        Column("child", _Id, primary_key=True, autoincrement=False),
        Column("parent", _Id, primary_key=True, autoincrement=False),
        Column("kind", String(16), primary_key=True),
        Index(f"{prefix}edges_parent", "parent", "child"),
    )
    table(
        f"{prefix}loose_ends",
        metadata,
        Column("id", _Id, primary_key=True, autoincrement=True),
        Column("job_id", _Id, nullable=False),
        sqlite_autoincrement=True,
    )
    table(
        f"{prefix}batches",
        metadata,
        Column("id", _Id, primary_key=True, autoincrement=True),
        Column("name", String(255)),
        Column("on_failed", String(16), nullable=False),
        Column("opened_at", _Instant, nullable=False),
        Column("opened_by", String(255), nullable=False),
        Column("closed_at", _Instant),
        Column("cancelled_at", _Instant),
        Column("ended_at", _Instant),
        Column("outcome", String(16)),
        Column("looked_to", _Id, nullable=False, server_default=text("0")),
        Column("turn", SmallInteger, nullable=False, server_default=text("0")),
        Index(f"{prefix}batches_ended", "ended_at"),
        sqlite_autoincrement=True,
    )
    table(
        f"{prefix}members",
        metadata,
        Column("batch", _Id, primary_key=True, autoincrement=False),
        Column("job", _Id, primary_key=True, autoincrement=False),
        Index(f"{prefix}members_job", "job", unique=True),
    )


def _limits(prefix: str, metadata: MetaData, table: Callable[..., Table]) -> None:
    table(
        f"{prefix}limits",
        metadata,
        Column("name", String(255), primary_key=True),
        Column("pattern", String(255), nullable=False),
        Column("concurrency", Integer),
        Column("starts", Integer),
        Column("period", BigInteger),
        Column("own_concurrency", Integer),
        Column("own_starts", Integer),
        Column("own_period", BigInteger),
        Column("opens_at", _Instant),
        Column("looked", BigInteger, nullable=False),
        Index(f"{prefix}limits_pattern", "pattern"),
        Index(f"{prefix}limits_opens", "opens_at"),
    )
    table(
        f"{prefix}limited",
        metadata,
        Column("job_id", _Id, primary_key=True, autoincrement=False),
        Column("limit_name", String(255), nullable=False),
        Column("place", SmallInteger, nullable=False),
        Column("priority", Integer, nullable=False),
        Column("due_at", _Instant, nullable=False),
        Column("job_group", String(255)),
        Column("since", _Instant, nullable=False),
        Index(f"{prefix}limited_line", "place", "limit_name", "priority", "due_at", "job_id"),
        Index(f"{prefix}limited_group", "job_group", "place", "priority", "due_at", "job_id"),
    )
    table(
        f"{prefix}starts",
        metadata,
        Column("limit_name", String(255), primary_key=True),
        Column("started_at", _Instant, primary_key=True, autoincrement=False),
        Column("job_id", _Id, primary_key=True, autoincrement=False),
    )


def _minutes(prefix: str, metadata: MetaData, table: Callable[..., Table]) -> None:
    table(
        f"{prefix}minutes",
        metadata,
        Column("kind", SmallInteger, primary_key=True, autoincrement=False),
        Column("minute", _Instant, primary_key=True, autoincrement=False),
        Column("queue", String(255), primary_key=True),
        Column("source", String(64), primary_key=True),
        Column("finished", BigInteger, nullable=False),
        Column("failed", BigInteger, nullable=False),
        Column("retrying", BigInteger, nullable=False),
        Column("cancelled", BigInteger, nullable=False),
    )


def _progress(prefix: str, metadata: MetaData, table: Callable[..., Table]) -> None:
    table(
        f"{prefix}progress",
        metadata,
        Column("job_id", _Id, primary_key=True, autoincrement=False),
        Column("token", BigInteger, nullable=False),
        Column("done", Float(53), nullable=False),
        Column("total", Float(53)),
        Column("rate", Float(53)),
        Column("note", Text),
        Column("at", _Instant, nullable=False),
    )


def _tails(prefix: str, metadata: MetaData, table: Callable[..., Table]) -> None:
    table(
        f"{prefix}tails",
        metadata,
        Column("job_id", _Id, primary_key=True, autoincrement=False),
        Column("wanted_until", _Instant, nullable=False),
        Column("token", BigInteger),
        Column("stdout_size", BigInteger, nullable=False, server_default="0"),
        Column("stderr_size", BigInteger, nullable=False, server_default="0"),
        Column("stdout", LargeBinary),
        Column("stderr", LargeBinary),
    )


def _workers(prefix: str, metadata: MetaData, table: Callable[..., Table]) -> None:
    table(
        f"{prefix}leases",
        metadata,
        Column("name", String(64), primary_key=True),
        Column("worker", String(128), nullable=False),
        Column("lease_until", _Instant, nullable=False),
    )
    table(
        f"{prefix}workers",
        metadata,
        Column("name", String(128), primary_key=True),
        Column("kind", String(16), nullable=False),
        Column("host", String(255), nullable=False),
        Column("pid", Integer, nullable=False),
        Column("queues", Text, nullable=False),
        Column("version", String(32), nullable=False),
        Column("started_at", _Instant, nullable=False),
        Column("seen_at", _Instant, nullable=False),
        Column("state", String(16), nullable=False, server_default="running"),
        Column("asked", String(16)),
        Column("jobs_done", BigInteger, nullable=False, server_default="0"),
        Column("memory", BigInteger),
    )


def _jobs(prefix: str, metadata: MetaData, table: Callable[..., Table], family: str) -> None:
    name, dialect = f"{prefix}jobs", DIALECTS[family]
    table(
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
        Column("time_limit", _Seconds),
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
        Column("cpu_time", _Seconds),
        Column("event", String(255)),
        Column("retry", Text),
        Column("error_class", String(255)),
        Column("error_message", _Long),
        Column("args", _Longest, nullable=False),
        Column("warnings", _Long),
        Column("notes", _Long),
        Column("result", _Long),
        Column("stdout", _Long),
        Column("stderr", _Long),
        Column("schedule", String(255)),
        Column("scheduled_for", String(LONGEST_LOCAL_TIME)),
        Column("flow", SmallInteger),
        *([Column("enqueue_token", BigInteger)] if dialect.has_tokens else []),
        *(_partial_indexes(name, dialect) if dialect.partial_indexes else _full_indexes(name)),
        sqlite_autoincrement=True,
    )


def _full_indexes(name: str) -> list[Index]:
    def full(suffix: str, *columns: str, unique: bool = False) -> Index:
        return Index(f"{name}_{suffix}", *columns, unique=unique)

    return [
        full("ready", "state", "queue", "priority", "available_at", "id", "job_group"),
        full("future", "state", "available_at"),
        full("held", "lease_until", "worker"),
        full("ended", "state", "finished_at"),
        full("unique", "unique_key", unique=True),
        full("key", "job_key"),
        full("arrived", "created_at", "enqueue_token", unique=True),
        full("group", "job_group", "state", "priority", "available_at", "id"),
    ]


def _partial_indexes(name: str, dialect: Dialect) -> list[Index]:
    # SQLite evaluates each condition twice for each changed row, and builds a temporary tree
    # for every IN it meets there: 3.5 microseconds each time, as much as the update itself.
    def partial(suffix: str, *columns: str, where: str, unique: bool = False) -> Index:
        return Index(
            f"{name}_{suffix}", *columns, unique=unique, sqlite_where=text(where), postgresql_where=text(where)
        )

    arrived = partial("arrived", "created_at", "enqueue_token", where="enqueue_token IS NOT NULL", unique=True)
    return [
        *([arrived] if dialect.has_tokens else []),
        partial("ready", "queue", "priority", "available_at", "id", "job_group", where="state = 'ready'"),
        partial("future", "available_at", where=FUTURE_INDEX),
        partial("held", "worker", where="lease_until IS NOT NULL"),
        partial(*(_COUNTED if dialect.has_counted else _ENDED), where="finished_at IS NOT NULL"),
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


def _attempts(prefix: str, metadata: MetaData, table: Callable[..., Table]) -> None:
    name = f"{prefix}attempts"
    table(
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
        Column("error_message", _Long),
        Column("traceback", _Long),
        Column("stdout", _Long),
        Column("stderr", _Long),
        Column("worker", String(128)),
        Column("error_path", String(255)),
        Index(f"{name}_job", "job_id"),
    )


def collation(connection: Connection) -> str | None:
    """Return the collation of MySQL or MariaDB that compares every byte (by default "a" equals "A"); None elsewhere."""
    if connection.dialect.name != "mysql":
        return None
    return "utf8mb4_nopad_bin" if connection.dialect.is_mariadb else "utf8mb4_0900_bin"  # type: ignore[attr-defined]
