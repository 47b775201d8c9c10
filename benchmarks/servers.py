"""Start servers for the benchmark, with an fsync for each COMMIT; each measurement gets a database of its own."""

from __future__ import annotations

import atexit
import functools
import itertools
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.peer import ServerKind
from benchmarks.processor import attribute
from daemons import databases, rabbitmq
from daemons.programs import program

DURABLE = {
    "mariadb": (
        "--innodb-flush-log-at-trx-commit=1",
        "--innodb-flush-method=O_DIRECT",
        "--innodb-buffer-pool-size=1G",
    ),
    "postgresql": ("-c", "fsync=on", "-c", "synchronous_commit=on", "-c", "shared_buffers=1GB"),
}
_PROGRAMS = {"mariadb": ("mariadbd", "mariadb-install-db"), "postgresql": ("initdb", "postgres")}
_started = ExitStack()
atexit.register(_started.close)
_numbers = itertools.count(1)
_processes: list[int] = []


def available(kind: ServerKind) -> bool:
    """Tell whether this kind of server is installed."""
    return rabbitmq.available() if kind == "rabbitmq" else all(map(program, _PROGRAMS[kind]))


@contextmanager
def server_for(place: Path, kind: ServerKind | None) -> Iterator[None]:
    """Give the measurement in this directory the server that it needs: with its own database, or the shared broker."""
    if kind is None:
        yield
    elif kind == "rabbitmq":
        _note(place, "server", _rabbitmq())
        yield
    else:
        server, name = _database_server(kind), f"bench{next(_numbers)}"
        server.execute(f"CREATE DATABASE {name}")
        _note(place, "server", rabbitmq.Running(server.url(name), server.pid))
        yield
        server.execute(f"DROP DATABASE {name}{' WITH (FORCE)' if kind == 'postgresql' else ''}")


def broker_for(place: Path) -> None:
    """Note for the measurement in this directory the shared broker, which it uses beside its server."""
    _note(place, "broker", _rabbitmq())


def url(place: Path) -> str:
    """Return the URL of the server for this directory."""
    return (place / "server").read_text()


def broker(place: Path) -> str:
    """Return the URL of the broker beside the server."""
    return (place / "broker").read_text()


def processes() -> list[int]:
    """Return the pids of the servers that run for the benchmark and aren't its children."""
    return list(_processes)


def _note(place: Path, name: str, server: rabbitmq.Running) -> None:
    (place / name).write_text(server.url)
    attribute(place, server.pid)


@functools.cache
def _database_server(kind: str) -> databases.Running:
    server = _started.enter_context(databases.private(kind, *DURABLE[kind]))
    _processes.append(server.pid)  # no child of this process: it is started with setsid --fork
    return server


@functools.cache
def _rabbitmq() -> rabbitmq.Running:
    return _started.enter_context(rabbitmq.private_rabbitmq())
