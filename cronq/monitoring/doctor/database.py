"""Check the database: whether it answers and can be written, its tables, indexes and clock."""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.schema import CreateIndex

from cronq.config.owners import owner_of
from cronq.errors import Unavailable
from cronq.monitoring.doctor.finding import Finding, fine, problem, warning
from cronq.storage.drivers.opening import may_write, require_sight
from cronq.storage.drivers.sqlite_errors import is_full
from cronq.storage.schema import tables
from cronq.storage.schema_version import CURRENT
from cronq.times import SECOND, Clock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Dialect, Index

    from cronq.monitoring.doctor.context import Installation

_CROWDED = ("too many", "used up", "remaining connection slots")
"""Words in the errors of servers that accept no more connections."""

_WAYS_OUT = {
    sqlite3.SQLITE_BUSY: "`fuser -v {path}` names the processes that have it open: end the one that holds it",
    sqlite3.SQLITE_FULL: "make room (`df -h {folder}`); `cronq clear-finished` removes old jobs",
    sqlite3.SQLITE_IOERR: "see what the kernel says of the disk: `dmesg | tail`",
    sqlite3.SQLITE_CORRUPT: "restore a backup, or try `sqlite3 {path} .recover`",
    sqlite3.SQLITE_NOTADB: "correct `database`, or move the file away",
}
_OFF = 2.0
"""Seconds by which the clocks may differ without a warning. cronq uses the database's clock."""


class _Engine(NamedTuple):
    """The name and the queries by which doctor checks a database of one family."""

    name: str
    version: str
    indexes: str
    dialect: type[Dialect]
    read_only: str = ""
    """The query that tells whether the server is read-only; empty for a file, whose mode tells it."""


_ENGINES = {
    "sqlite": _Engine(
        "SQLite",
        version="SELECT sqlite_version()",
        indexes="SELECT name FROM sqlite_master WHERE type = 'index'",
        dialect=sqlite.dialect,
    ),
    "mysql": _Engine(
        "MySQL",
        version="SELECT VERSION()",
        indexes="SELECT DISTINCT index_name FROM information_schema.statistics WHERE table_schema = DATABASE()",
        dialect=mysql.dialect,
        read_only="SELECT @@read_only",
    ),
    "postgresql": _Engine(
        "PostgreSQL",
        version="SHOW server_version",
        indexes="SELECT indexname FROM pg_indexes WHERE schemaname = ANY(current_schemas(false))",
        dialect=postgresql.dialect,
        read_only="SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean",
    ),
}


def reachable(installation: Installation) -> Iterator[Finding]:
    """Check that the database answers."""
    if installation.file is not None and is_missing(installation.file):
        yield _no_file(installation.file)
        return
    opened = installation.opened
    if isinstance(opened, Unavailable):
        yield problem(str(opened), _way_out(opened, installation))
        return
    started = time.perf_counter()
    engine = _ENGINES[opened.family]
    version = opened.query(engine.version)[0][0]
    took = (time.perf_counter() - started) * 1000
    name = "MariaDB" if "MariaDB" in version else engine.name
    yield fine(f"{installation.config.safe_database()} answers in {took:.1f} ms ({name} {version})")


def is_missing(path: Path) -> bool:
    """Tell whether a file is missing; False if this user may not see that."""
    try:
        require_sight(str(path))
    except Unavailable:
        return False
    return not path.exists()


def _way_out(error: Unavailable, installation: Installation) -> str:
    """Return advice on a database that can't be used; it is never to give the file to another user."""
    path = installation.file
    if path is None:
        if any(words in str(error) for words in _CROWDED):
            return "raise the limit (`max_connections`, or the user's), or end clients that hold connections"
        return "see whether the server is up and takes this user from this host"
    code = getattr(error.__cause__ or error.__context__, "sqlite_errorcode", -1) & 0xFF
    if code == sqlite3.SQLITE_IOERR and is_full(str(path.parent)):
        code = sqlite3.SQLITE_FULL
    if code in _WAYS_OUT:
        return _WAYS_OUT[code].format(path=path, folder=path.parent)
    owner = owner_of(str(path)) or owner_of(str(path.parent))
    if owner is not None:
        return f"call doctor as its owner, {owner.replace('…', 'doctor')}"
    return f"see the mode of {path} and {path.parent} (`ls -ld {path.parent} {path}*`)"


def _no_file(path: Path) -> Finding:
    if not path.parent.is_dir():
        return problem(
            f"{path}: the directory {path.parent} does not exist", f"mkdir {path.parent}, or correct `database`"
        )
    advice = (
        "the first `cronq enqueue` or `cronq run` makes it; if there should be one, see which `database` is configured"
    )
    return warning(f"{path} does not exist yet", advice)


def schema(installation: Installation) -> Iterator[Finding]:
    """Check that the tables are those of this version."""
    if installation.database is None:
        return
    current = installation.revision
    if current is None:
        yield warning("there are no tables yet", "`cronq update-schema` makes them, as does the first enqueue or run")
    elif current == CURRENT:
        yield fine(f"the tables are up to date (revision {current})")
    elif current < CURRENT:
        text = f"the tables are of revision {current}, this cronq needs {CURRENT}"
        yield problem(text, "run `cronq update-schema`")
    else:
        text = f"the tables are of revision {current}, a newer cronq made them; this one knows {CURRENT}"
        yield problem(text, "update cronq on this host")


def indexes(installation: Installation) -> Iterator[Finding]:
    """Check that all indexes exist: without one, statements are slow."""
    database = installation.database
    if database is None or installation.stats is None:
        return
    engine = _ENGINES[database.family]
    there = {row[0] for row in database.query(engine.indexes)}
    metadata = tables(installation.config.table_prefix, database.family)
    wanted = [index for table in metadata.tables.values() for index in table.indexes]
    missing = [index for index in wanted if index.name not in there]
    for index in missing:
        yield problem(f"the index {index.name} is missing: cronq gets slow", f"make it: {_statement(index, engine)}")
    if not missing:
        yield fine(f"all {len(wanted)} indexes are there")


def _statement(index: Index, engine: _Engine) -> str:
    return " ".join(str(CreateIndex(index).compile(dialect=engine.dialect())).split())


def writable(installation: Installation) -> Iterator[Finding]:
    """Check that jobs can be stored."""
    database = installation.database
    if database is None:
        return
    asked = _ENGINES[database.family].read_only
    if asked and database.query(asked)[0][0]:
        yield problem("the server is read-only", "point `database` at the primary server, or wait for the failover")
    if installation.file is None:
        return
    if not may_write(str(installation.file)):
        yield _read_only(installation.file)
        return
    try:
        database.transact(lambda _: None)
    except Unavailable as error:
        yield problem(str(error), _way_out(error, installation))
    else:
        yield fine("it can be written")


def _read_only(path: Path) -> Finding:
    owner = owner_of(str(path))
    if owner is None:
        return problem(f"{path} or its directory can't be written by its owner", f"chmod u+w {path} {path.parent}")
    text = f"you may only read it: the queue belongs to {owner.partition(':')[0]}"
    return warning(text, f"call doctor as its owner for the rest, {owner.replace('…', 'doctor')}")


def clock(installation: Installation) -> Iterator[Finding]:
    """Check how far this host's clock is from the database's."""
    measured = None if installation.database is None else installation.database.read_clock()
    if measured is None:
        return
    clock = Clock()
    clock.set_by(measured)
    offset = clock.ahead / SECOND
    shown = f"this host's clock is {abs(offset):.1f} s {'behind' if offset > 0 else 'ahead of'} the database's"
    if abs(offset) < _OFF:
        yield fine(shown)
    else:
        yield warning(shown, "have NTP set the clocks of both (`timedatectl`)")
