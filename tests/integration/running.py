"""Run a queue with tasks that a test writes, in real processes, and read its rows."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cronq import Cronq
from cronq.config import loader as configuration
from cronq.system.process import is_stopped
from tests import ready_database
from tests.project import Project, Ran
from tests.started import Process
from tests.waiting import wait_until
from tests.warm_client import name_of

HEADER = """\
import os, signal, subprocess, sys, threading, time
from pathlib import Path
from cronq import *

queue = Cronq.from_config()
HERE = Path(__file__).parent


def mark(*words):
    record = os.open(HERE / "record", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(record, (" ".join(map(str, words)) + "\\n").encode())
    os.close(record)


def pause_until(condition):
    while not condition():
        time.sleep(0.005)


@queue.task
def nothing():
    pass


@queue.task
def record(word=""):
    mark(word)


"""
"""The beginning of each test's app: `mark` appends a line to the record, `nothing` and `record` are tasks."""

CONFIG = """\
database = "sqlite:///cronq.db"
app = "jobs:queue"
grace = "1s"
"""


class Queue:
    """The queue of one test: its tasks, its jobs, its runs."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.directory = project.directory
        self._started: list[Process] = []
        self._app: Cronq | None = None
        self._others = {os.getpid(), *_pids()}
        self.tasks("")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._started:
            process.kill()
            process.communicate()
        if self._app:
            self._app.close()
        for pid in self.left_running():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    # Setting up

    def tasks(self, text: str, config: str = "") -> None:
        """Write the app: tasks in addition to `nothing` and `record`, and more lines of the config."""
        self.project.write("jobs.py", HEADER + text)
        own = {line.partition("=")[0].strip() for line in config.partition("[")[0].splitlines()}
        usual = [line for line in CONFIG.splitlines(keepends=True) if line.partition("=")[0].strip() not in own]
        self.project.write("cronq.toml", "".join(usual) + config)
        if self._app:
            self._app.close()
        self._app = None

    @property
    def app(self) -> Cronq:
        """The same queue in the test's own process, without its tasks."""
        if self._app is None:
            config = configuration.load(file=str(self.directory / "cronq.toml"), environ={})
            file = self.project.database
            if config.database == f"sqlite:///{file}" and config.table_prefix == "cronq_":
                ready_database.make(file)
            self._app = Cronq(config)
        return self._app

    def put(self, task: str, arguments: dict[str, Any] | None = None, **options: Any) -> int:
        """Enqueue one job of a task in jobs.py; return its id."""
        return self.app.enqueue(f"jobs.{task}", arguments or {}, check=False, **options).id

    def command(self, command: str | list[str], **options: Any) -> int:
        """Enqueue a shell command; return its id."""
        return self.app.command(command, **options).id

    # Running

    def start(self, *arguments: str | int, env: dict[str, str] | None = None, anew: bool = False) -> Process:
        """Start `cronq run ARGUMENTS`; it is killed when the test ends. `anew`: with a Python started for it."""
        process = self.project.start("run", *arguments, env=env, anew=anew)
        self._started.append(process)
        return process

    def work(self, *arguments: str | int, env: dict[str, str] | None = None) -> Process:
        """Start `cronq work ARGUMENTS` and wait until it is in the worker registry; it is killed when the test ends."""
        self.app.store.prepare()
        process = self.project.start("work", *arguments, env=env)
        self._started.append(process)
        wait_until(lambda: process.poll() is not None or self.is_at_work(process.pid), what="a worker")
        return process

    def is_at_work(self, pid: int) -> bool:
        """Tell whether a worker of this process is in the worker registry."""
        return bool(self.sql("SELECT 1 FROM cronq_workers WHERE pid = ? AND kind = 'work'", pid))

    def run(self, *arguments: str | int, status: int = 0, seconds: float = 60) -> Ran:
        """Run `cronq run ARGUMENTS` to its end, which must have this exit status."""
        ran = self.project.cronq("run", *arguments, seconds=seconds)
        assert ran.status == status, ran
        assert ran.stdout == ""
        return ran

    def run_silently(self, *arguments: str | int) -> None:
        """Run `cronq run ARGUMENTS`, which must print nothing."""
        assert self.run(*arguments).stderr == ""

    def left_running(self) -> list[int]:
        """Return the processes that jobs of this project have started and that still live."""
        mark, name = f"{self.project.home}".encode(), name_of(str(self.project.home))
        later = [pid for pid in _pids() if pid not in self._others]
        return [pid for pid in later if (mark in _environment(pid) or _name(pid) == name) and alive(pid)]

    def wait_until_nothing_runs(self) -> None:
        """Wait until no process of this project lives: after SIGKILL a process lives until the kernel schedules it."""
        wait_until(lambda: not self.left_running(), seconds=50, what="no process is left")

    def stop(self, pid: int) -> None:
        """Stop a process with SIGSTOP, but not in the middle of a transaction, which would lock the database."""
        wait_until(lambda: self._stops_unlocked(pid), what=f"process {pid} stands still and locks nothing")

    def _stops_unlocked(self, pid: int) -> bool:
        os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: is_stopped(pid), what=f"process {pid} stands still")
        with contextlib.closing(sqlite3.connect(self.project.database, timeout=0, isolation_level=None)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                os.kill(pid, signal.SIGCONT)
                return False
            connection.execute("ROLLBACK")
        return True

    # Looking

    def sql(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Execute one statement and return its rows; writes are committed."""
        return self.project.sql(statement, *parameters)

    def rows(self, where: str = "1 = 1", *parameters: Any) -> list[dict[str, Any]]:
        """Return the rows of jobs, by id."""
        with contextlib.closing(sqlite3.connect(self.project.database, timeout=60)) as connection:
            connection.row_factory = sqlite3.Row
            found = connection.execute(f"SELECT * FROM cronq_jobs WHERE {where} ORDER BY id", parameters)
            return [dict(row) for row in found]

    def row(self, job: int) -> dict[str, Any]:
        """Return the row of one job."""
        [row] = self.rows("id = ?", job)
        return row

    def state(self, job: int) -> str:
        """Return the state of one job."""
        return str(self.row(job)["state"])

    def attempts(self, job: int) -> list[dict[str, Any]]:
        """Return the rows of one job's attempts that did not succeed."""
        with contextlib.closing(sqlite3.connect(self.project.database, timeout=60)) as connection:
            connection.row_factory = sqlite3.Row
            found = connection.execute("SELECT * FROM cronq_attempts WHERE job_id = ? ORDER BY id", (job,))
            return [dict(row) for row in found]

    def attempt(self, job: int) -> dict[str, Any]:
        """Return the only attempt of one job that did not succeed."""
        [attempt] = self.attempts(job)
        return attempt

    def make_due(self, *jobs: int) -> None:
        """Make these jobs due, as if the time until then had passed."""
        for job in jobs:
            self.sql("UPDATE cronq_jobs SET available_at = 1 WHERE id = ?", job)

    def recorded(self) -> list[str]:
        """Return the lines that tasks have appended to the record."""
        path = self.directory / "record"
        return path.read_text().splitlines() if path.exists() else []

    def wait_for_record(self, word: str, *, seconds: float = 60) -> str:
        """Wait until the record has a line that starts with `word`; return its last word."""
        found = wait_until(
            lambda: [line for line in self.recorded() if line.startswith(word)],
            seconds=seconds,
            what=f"{word!r} on record",
        )
        return found[0].split()[-1]

    def healthy(self) -> bool:
        """Tell whether SQLite finds the file intact."""
        return self.sql("PRAGMA integrity_check") == [("ok",)]

    def settled(self) -> bool:
        """Tell whether there is no lease, no running or blocked job, and no group with a holder."""
        held = self.sql("SELECT id FROM cronq_jobs WHERE lease_until IS NOT NULL OR state IN ('running', 'blocked')")
        return not held and not self.sql("SELECT * FROM cronq_groups")


def alive(pid: int) -> bool:
    """Tell whether a process with this pid runs; a zombie doesn't."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until_dead(pid: int, *, seconds: float = 50) -> None:
    """Wait until no process with this pid runs."""
    wait_until(lambda: not alive(pid), seconds=seconds, what=f"process {pid} is gone")


def _pids() -> list[int]:
    return [int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdecimal()]


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _environment(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""
