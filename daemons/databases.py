"""Start private database servers: make them in a directory, start them on a free port, kill them as in a power cut."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cronq.config.loader import from_database
from cronq.storage.drivers.opening import open_database
from daemons.programs import UNPACKED, program
from daemons.waiting import wait_until

MYSQL = UNPACKED / "mysql"
"""Oracle's MySQL and a new server's data, from .ci/unpack-mysql: Debian can't install it beside MariaDB."""

_FIRST_PORT = 12_000
_MEMORY = Path("/dev/shm")
_ROOMY = 4 << 30


def quick_place() -> str | None:
    """Return the directory for data that need not outlive a power cut: in memory if that has 4 GiB, else None."""
    if not (_MEMORY.is_dir() and os.access(_MEMORY, os.W_OK)):
        return None
    size = os.statvfs(_MEMORY)
    return str(_MEMORY) if size.f_blocks * size.f_frsize >= _ROOMY else None


class Server(NamedTuple):
    """One kind of server: the user as which root runs it, how its data are made, how it is started, its URL."""

    user: str | None
    make: Callable[[Path], list[str]]
    start: Callable[[Path, int], list[str]]
    url: str
    own_database: str
    pid_file: str


def _make_mariadb(place: Path) -> list[str]:
    return [str(program("mariadb-install-db")), "--no-defaults", f"--datadir={place}/data",
            "--auth-root-authentication-method=normal", "--skip-test-db", f"--tmpdir={place}"]  # fmt: skip


def _start_mariadb(place: Path, port: int) -> list[str]:
    return [str(program("mariadbd")), "--no-defaults", f"--datadir={place}/data", f"--socket={place}/socket",
            f"--port={port}", "--bind-address=127.0.0.1", f"--pid-file={place}/pid", f"--log-error={place}/log",
            f"--tmpdir={place}", "--innodb-flush-log-at-trx-commit=2", "--innodb-buffer-pool-size=256M",
            "--character-set-server=utf8mb4"]  # fmt: skip


def _make_mysql(place: Path) -> list[str]:
    return ["cp", "-a", "--no-preserve=ownership", str(MYSQL / "data"), f"{place}/data"]


def _start_mysql(place: Path, port: int) -> list[str]:
    user = ["--user=root"] if os.geteuid() == 0 else []
    return [str(MYSQL / "mysqld"), *user, f"--datadir={place}/data", f"--socket={place}/socket", f"--port={port}",
            "--bind-address=127.0.0.1", f"--pid-file={place}/pid", f"--log-error={place}/log", f"--tmpdir={place}",
            "--innodb-flush-log-at-trx-commit=2", "--innodb-buffer-pool-size=256M", "--innodb-redo-log-capacity=128M",
            "--disable-log-bin", "--mysqlx=OFF"]  # fmt: skip


def _make_postgresql(place: Path) -> list[str]:
    return [str(program("initdb")), "-D", f"{place}/data", "-A", "trust", "-U", "postgres", "-E", "UTF8",
            "--locale=C.UTF-8", "--no-sync"]  # fmt: skip


def _start_postgresql(place: Path, port: int) -> list[str]:
    return [str(program("postgres")), "-D", f"{place}/data", "-p", str(port), "-k", str(place),
            "-h", "127.0.0.1", "-c", "fsync=off",
            # Segments in /dev/shm would stay there when a server is killed.
            "-c", "dynamic_shared_memory_type=mmap"]  # fmt: skip


_LAST_WORDS = 2000
"""Characters of a server's output that are shown when it has ended."""

_MYSQL_URL = "mysql+pymysql://root@{address}:{port}/{name}?ssl_disabled=true"

SERVERS = {
    "mariadb": Server("mysql", _make_mariadb, _start_mariadb, _MYSQL_URL, "mysql", "pid"),
    "mysql": Server(None, _make_mysql, _start_mysql, _MYSQL_URL, "mysql", "pid"),
    "postgresql": Server(
        "postgres",
        _make_postgresql,
        _start_postgresql,
        "postgresql+psycopg://postgres@{address}:{port}/{name}?sslmode=disable",
        "postgres",
        "data/postmaster.pid",
    ),
}


class Running:
    """A private server in a directory of its own; it can be killed and started again.

    `options` are added to the command that starts it, and override what that has. `address` is where
    it listens; one other than 127.0.0.1 needs options for it.
    """

    def __init__(self, kind: str, place: Path, *, options: Sequence[str] = (), address: str = "127.0.0.1") -> None:
        self.kind = kind
        self.server = SERVERS[kind]
        self.place = place
        self.options = options
        self.address = address

    @property
    def port(self) -> int:
        """The port on which it listens."""
        return int((self.place / "port").read_text())

    @property
    def pid(self) -> int:
        """The pid of its main process."""
        return int((self.place / self.server.pid_file).read_text().split()[0])

    def url(self, name: str) -> str:
        """Return cronq's URL of the database of this name, for the server's administrator."""
        return self.server.url.format(address=self.address, port=self.port, name=name)

    def make(self) -> None:
        """Make its data and start it."""
        self._make_place()
        made = subprocess.run(
            self.server.make(self.place), capture_output=True, text=True, check=False, **self._owner()
        )
        assert made.returncode == 0, made.stdout + made.stderr
        self.start()

    def join(self) -> None:
        """Start it without data: it fetches them from the cluster that it joins."""
        self._make_place("data")
        self.start()

    def _make_place(self, *inside: str) -> None:
        for place in (self.place, *(self.place / name for name in inside)):
            place.mkdir(mode=0o755)
            if owner := self._owner():
                shutil.chown(place, owner["user"])
        (self.place / "port").write_text(str(free_port()))

    def start(self) -> None:
        """Start it and wait until it answers."""
        # In a session of its own: it serves all workers of the test run, also when the one that started it ends.
        command = ["setsid", "--fork", *self.server.start(self.place, self.port), *self.options]
        with (self.place / "output").open("ab") as output:
            subprocess.run(command, stdout=output, stderr=output, check=True, **self._owner())
        wait_until(lambda: self.answers() or self._has_ended(), seconds=180, what=f"{self.kind} answers")
        assert not self._has_ended(), f"{self.kind} has ended: {(self.place / 'output').read_text()[-_LAST_WORDS:]}"

    def _has_ended(self) -> bool:
        """Tell whether no process has the directory in its arguments."""
        mark = os.fsencode(self.place)
        return not any(mark in arguments for arguments in _commands())

    def answers(self) -> bool:
        """Tell whether it answers a query."""
        database = open_database(from_database(self.url(self.server.own_database)))
        database._patience = 0.0  # type: ignore[attr-defined]
        try:
            return bool(database.query("SELECT 1"))
        except Exception:
            return False
        finally:
            database.close()

    def kill(self) -> None:
        """Kill it with SIGKILL, as in a power cut, with the processes that serve its connections."""
        processes = [self.pid, *_children(self.pid)]
        for pid in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not any(map(alive, processes)), what=f"{self.kind} is gone")
        # Otherwise the next server would not start: PostgreSQL takes an unreaped zombie for a running server, MySQL
        # any new process with the old one's pid.
        locks = (*self.place.glob(".s.PGSQL.*.lock"), *self.place.rglob("socket.lock"))
        for lock in (self.place / self.server.pid_file, *locks):
            lock.unlink(missing_ok=True)

    def remove(self) -> None:
        """Kill it and remove its data."""
        with contextlib.suppress(OSError, ValueError):
            self.kill()
        shutil.rmtree(self.place, ignore_errors=True)

    def execute(self, *statements: str) -> None:
        """Execute statements in the server's own database."""
        database = open_database(from_database(self.url(self.server.own_database)))
        for statement in statements:
            database.execute(statement)
        database.close()

    def _owner(self) -> dict[str, Any]:
        if os.geteuid() != 0 or self.server.user is None:
            return {}
        return {"user": self.server.user, "group": self.server.user, "extra_groups": []}


@contextlib.contextmanager
def on_network(kind: str, address: str) -> Iterator[Running]:
    """Yield a server for hosts of a private network: it accepts each connection to this address."""
    place = Path(tempfile.mkdtemp(prefix="cronq-", dir=quick_place()))
    place.chmod(0o755)
    (place / "hba").write_text("host all all samenet trust\n")
    (place / "users.sql").write_text("CREATE USER IF NOT EXISTS root@'%';\nGRANT ALL ON *.* TO root@'%';\n")
    options = {
        "mariadb": [f"--bind-address={address}", "--skip-grant-tables"],
        "mysql": [f"--bind-address={address}", f"--init-file={place}/users.sql"],
        "postgresql": ["-h", address, "-c", f"hba_file={place}/hba"],
    }[kind]
    with _at(place, Running(kind, place / kind, options=options, address=address)) as running:
        yield running


@contextlib.contextmanager
def private(kind: str, *options: str, within: str | None = None) -> Iterator[Running]:
    """Yield a server that runs until the end of the block, with data on the disk or in `within`; it may be killed."""
    place = Path(tempfile.mkdtemp(prefix="cronq-", dir=within))
    place.chmod(0o755)
    with _at(place, Running(kind, place / kind, options=options)) as running:
        yield running


@contextlib.contextmanager
def _at(place: Path, running: Running) -> Iterator[Running]:
    try:
        running.make()
        yield running
    finally:
        running.remove()
        shutil.rmtree(place, ignore_errors=True)


def alive(pid: int) -> bool:
    """Tell whether a process with this pid runs; a zombie doesn't."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _commands() -> Iterator[bytes]:
    """Yield the arguments of all processes but this one."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if path.parent.name != str(os.getpid()):
                yield path.read_bytes()


def _children(pid: int) -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if status.read_text().rpartition(")")[2].split()[1] == str(pid):
                found.append(int(status.parent.name))
    return found


def free_port() -> int:
    """Return a port on which nothing listens, and which the system gives to no connection.

    A port that the system gives out could go to another process before the server starts, or while it is
    killed; and a client of a killed server could be connected to itself.
    """
    for _ in range(1000):
        port = random.randrange(_FIRST_PORT, _given_out())
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError(f"no free port from {_FIRST_PORT} to {_given_out()}")


def _given_out() -> int:
    """Return the first port that the system gives to connections."""
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    return first if first > 2 * _FIRST_PORT else 1 << 16
