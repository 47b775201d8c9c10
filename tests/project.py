"""Make a directory with a cronq.toml and an app module, and run the `cronq` command in it as a person would."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from tests import ready_database, warm
from tests.network import target_of
from tests.started import Process
from tests.warm import Ran

__all__ = ["COMMAND", "ROOT", "Project", "Ran"]

ROOT = Path(__file__).parent.parent
_SCRIPT = Path(sys.prefix) / "bin" / "cronq"
COMMAND = [str(_SCRIPT)] if _SCRIPT.exists() else [sys.executable, "-m", "cronq"]
"""The installed command, or the module where the tests run without an installation."""

DATABASE = 'database = "sqlite:///cronq.db"'
CONFIG = f"""\
{DATABASE}
app = "jobs:queue"
"""

APP = """\
from cronq import Cronq, Fail

queue = Cronq.from_config()


@queue.task(name="add")
def add(a: int, b: int) -> int:
    return a + b


@queue.task(name="say")
def say(text: str) -> None:
    print(text)


@queue.task(name="break")
def break_down(why: str = "broken") -> None:
    raise RuntimeError(why)


@queue.task(name="give-up")
def give_up(why: str = "hopeless") -> None:
    raise Fail(why)
"""


class Project:
    """The files, the database and the command of cronq in one test."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.home = directory / "home"
        self.home.mkdir()
        self.write("cronq.toml", CONFIG)
        self.write("jobs.py", APP)

    @property
    def database(self) -> Path:
        return self.directory / "cronq.db"

    def make_database(self) -> None:
        """Make an empty queue, as the first command would, if the configuration has the usual database."""
        file = self.directory / "cronq.toml"
        config = file.read_text() if file.exists() else ""
        if DATABASE in config.splitlines() and "table_prefix" not in config:
            ready_database.make(self.database)

    def copy_database(self, of: Project) -> None:
        """Copy the queue of another project, which no command has open, instead of making its jobs again."""
        ready_database.put(of.database.read_bytes(), self.database)

    @property
    def environment(self) -> dict[str, str]:
        """The environment of cron, and the path of the package if it isn't installed."""
        given = {"HOME": str(self.home), "PATH": f"{Path(sys.prefix) / 'bin'}:/usr/bin:/bin"}
        return given if _SCRIPT.exists() else given | {"PYTHONPATH": str(ROOT)}

    @property
    def environment_of_shells(self) -> dict[str, str]:
        """The same for shells that run many commands: their `cronq` is a fork, too (tests/warm.py)."""
        given = self.environment
        return given | {"PATH": f"{warm.for_shells(_SCRIPT)}:{given['PATH']}"} if _SCRIPT.exists() else given

    def write(self, name: str, text: str) -> Path:
        """Write a file of the project; missing directories are made."""
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def start(
        self,
        *arguments: str | int,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        anew: bool = False,
        user: int | None = None,
    ) -> Process:
        """Start `cronq ARGUMENTS` without waiting; its streams are pipes. `anew`: with a Python started for it.

        `user`: run as another user and group than the test's, which only root can.
        """
        environment = self.environment | dict(env or {})
        command = warm.Command([*map(str, arguments)], cwd or self.directory, environment, user=user)
        if _SCRIPT.exists() and command.may_be_forked() and not anew:
            return warm.start(_SCRIPT, command)
        return subprocess.Popen(
            [*COMMAND, *command.arguments], cwd=command.directory, env=environment,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            user=user, group=user, extra_groups=None if user is None else [],
        )  # fmt: skip

    def start_on(self, terminal: int, *arguments: str | int, env: Mapping[str, str]) -> Process:
        """Start `cronq ARGUMENTS` without waiting, with a terminal as its streams."""
        environment = self.environment | dict(env)
        command = warm.Command([*map(str, arguments)], self.directory, environment)
        if _SCRIPT.exists() and command.may_be_forked():
            return warm.begin_on(_SCRIPT, command, terminal)
        return subprocess.Popen(
            [*COMMAND, *command.arguments], cwd=self.directory, env=environment,
            stdin=terminal, stdout=terminal, stderr=terminal, text=True,
        )  # fmt: skip

    def begin(self, command: list[str], stderr: IO[bytes], *, anew: bool = False) -> Process:
        """Start a program of the project that has no input and prints nothing; `cronq` as a fork, unless `anew`.

        The command may run on a host of tests/network.py.
        """
        before, own, arguments = _parts(command)
        host = target_of(before)
        if own and not anew and (not before or host):
            given = warm.Command(arguments, self.directory, self.environment, host=host)
            return warm.begin(_SCRIPT, given, stderr)
        return subprocess.Popen(
            command, cwd=self.directory, env=self.environment, stdin=subprocess.DEVNULL, stderr=stderr, text=True
        )

    def cronq(
        self,
        *arguments: str | int,
        stdin: str = "",
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        seconds: float = 60,
        anew: bool = False,
        user: int | None = None,
    ) -> Ran:
        """Run `cronq ARGUMENTS` to its end, at most `seconds` long; `anew` and `user` as for `start`."""
        environment = self.environment | dict(env or {})
        command = warm.Command([*map(str, arguments)], cwd or self.directory, environment, stdin, user=user)
        if _SCRIPT.exists() and command.may_be_forked() and not anew:
            return warm.run(_SCRIPT, command, seconds)
        return _to_its_end(self.start(*arguments, env=env, cwd=cwd, anew=True, user=user), stdin, seconds)

    def python(self, *arguments: str | int, env: Mapping[str, str] | None = None, seconds: float = 60) -> Ran:
        """Run Python with these arguments in the project, where it can import cronq, to its end."""
        return _to_its_end(self.start_python(*arguments, env=env), "", seconds)

    def start_python(self, *arguments: str | int, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Start Python with these arguments in the project without waiting."""
        return subprocess.Popen(
            [sys.executable, *map(str, arguments)], cwd=self.directory, env=self.environment | dict(env or {}),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def done(self, *arguments: str | int, stdin: str = "") -> str:
        """Run `cronq ARGUMENTS`, which must succeed; return its output without the last newline.

        For `enqueue` and `run` the database is made before; `Project.cronq` leaves that to the command.
        """
        if arguments[:1] in (("enqueue",), ("run",)):
            self.make_database()
        ran = self.cronq(*arguments, stdin=stdin)
        assert ran.status == 0, f"cronq {' '.join(map(str, arguments))}: {ran}"
        return ran.stdout.removesuffix("\n")

    def enqueue(self, *arguments: str | int) -> int:
        """Run `cronq enqueue ARGUMENTS`; return the id that it printed."""
        return int(self.done("enqueue", *arguments))

    def enqueue_all(self, *jobs: Mapping[str, Any]) -> list[int]:
        """Run `cronq enqueue --stdin` with a line for each job; return their ids."""
        lines = "".join(f"{json.dumps(job)}\n" for job in jobs)
        return [int(line) for line in self.done("enqueue", "--stdin", stdin=lines).split()]

    def show(self, job: int) -> dict[str, Any]:
        """Return the JSON of one job that `cronq show --json` prints."""
        shown: dict[str, Any] = json.loads(self.done("show", job, "--json"))
        return shown

    def sql(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Execute one statement without a command and return its rows; writes are committed."""
        with contextlib.closing(sqlite3.connect(self.database, timeout=60)) as connection, connection:
            return connection.execute(statement, parameters).fetchall()

    def state(self, job: int) -> str:
        """Return the state of one job in the database."""
        [(state,)] = self.sql("SELECT state FROM cronq_jobs WHERE id = ?", job)
        return str(state)

    def jobs(self, *arguments: str | int) -> list[dict[str, Any]]:
        """Return the jobs that `cronq ls --json ARGUMENTS` lists."""
        listed: list[dict[str, Any]] = json.loads(self.done("ls", "--json", *arguments))
        return listed


def _parts(command: list[str]) -> tuple[list[str], str, list[str]]:
    """Return the words before the installed `cronq`, its path (empty without it), and its arguments."""
    own = str(_SCRIPT)
    if own not in command:
        return command, "", []
    place = command.index(own)
    return command[:place], own, command[place + 1 :]


def _to_its_end(started: Process, stdin: str, seconds: float) -> Ran:
    with started as process:
        try:
            stdout, stderr = process.communicate(stdin, timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    return Ran(process.wait(), stdout, stderr)
