"""Run `cronq` commands as forks of a process that has imported cronq already: the same process without the start.

Four fifths of the cost of a short command are Python's start and the imports. Commands whose start is
tested (tests/cli/test_startup.py), or that depend on it, are started as a person would.

Other Python programs are forks of a process that has imported what they need (Imports).
"""

from __future__ import annotations

import atexit
import functools
import marshal
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, NamedTuple

from tests.started import Started, Streams
from tests.warm_client import is_plain, name_of

_HERE = Path(__file__).parent
_PIPE = 1 << 16


class Ran(NamedTuple):
    """The exit status of a command, and its output."""

    status: int
    stdout: str
    stderr: str


class Command(NamedTuple):
    """One command: its arguments, its directory, and its whole environment."""

    arguments: Sequence[str]
    directory: Path
    environment: Mapping[str, str]
    stdin: str = ""
    host: int | None = None
    """The pid of a process whose network and host name it gets."""
    user: int | None = None
    """The id of the user and group that it gets after the imports: perhaps only root can read Python's files."""

    def may_be_forked(self) -> bool:
        """Tell whether Python itself ignores all variables of its environment, and the input fits into a pipe."""
        return is_plain(dict(self.environment)) and len(self.stdin) < _PIPE // 4


class Imports(NamedTuple):
    """The modules that a Python has imported; its commands have arguments of `python`: `-c CODE`, `-m NAME`, a file.

    Of the variables that Python itself reads, only PYTHONPATH takes effect.
    """

    modules: tuple[str, ...]


def run(script: Path | Imports, command: Command, seconds: float) -> Ran:
    """Run the command to its end, at most `seconds` long."""
    return _process(script).run(command, time.monotonic() + seconds)


def begin(script: Path | Imports, command: Command, stderr: IO[bytes]) -> Started:
    """Start the command without waiting; it has no input, and its output is dropped."""
    with open(os.devnull, "r+b") as nothing:  # noqa: PTH123 - no Path of the project's
        return Started(
            _process(script).start(command, [nothing.fileno(), nothing.fileno(), stderr.fileno()]), Streams()
        )


def begin_on(script: Path, command: Command, terminal: int) -> Started:
    """Start the command without waiting, with a terminal as its streams."""
    return Started(_process(script).start(command, [terminal] * 3), Streams())


def start(script: Path | Imports, command: Command) -> Started:
    """Start the command without waiting; its streams are pipes."""
    (stdin, to_stdin), (from_stdout, stdout), (from_stderr, stderr) = (os.pipe() for _ in range(3))
    theirs = [stdin, stdout, stderr]
    try:
        asked = _process(script).start(command, theirs)
    finally:
        for stream in theirs:
            os.close(stream)
    return Started(asked, Streams(open(to_stdin, "w"), open(from_stdout), open(from_stderr)))  # noqa: PTH123


def for_shells(script: Path) -> Path:
    """Return a directory with a `cronq` that runs forks, to be put first on PATH."""
    return _process(script).place


@functools.cache
def _process(script: Path | Imports) -> _Process:
    started = _Process(script)
    atexit.register(started.end)
    return started


class _Process:
    def __init__(self, script: Path | Imports) -> None:
        given = script.modules if isinstance(script, Imports) else (str(script),)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind("")
            listener.listen(64)
            self._address = listener.getsockname()
            # As for a command of Project: Python reads its variables from the environment at this start only.
            self._started = subprocess.Popen(
                [sys.executable, str(_HERE / "warm_process.py"), str(listener.fileno()), *given],
                pass_fds=[listener.fileno()],
                env={"PATH": "/usr/bin:/bin"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
        self._place = tempfile.TemporaryDirectory(prefix="cronq-for-shells-")
        self.place = Path(self._place.name)
        client = self.place / "cronq"
        program = (_HERE / "warm_client.py").read_text()
        client.write_text(f"#!{sys.executable} -IS\n{program}\n\nmain({self._address!r}, {str(script)!r})\n")
        client.chmod(0o755)

    def run(self, command: Command, deadline: float) -> Ran:
        """Run the command to its end, or to the deadline."""
        (stdin, to_stdin), (from_stdout, stdout), (from_stderr, stderr) = (os.pipe() for _ in range(3))
        os.write(to_stdin, command.stdin.encode())
        os.close(to_stdin)
        streams = [stdin, stdout, stderr]
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asked:
            try:
                asked.connect(self._address)
                socket.send_fds(asked, [_request(command)], streams)
            finally:
                for stream in streams:
                    os.close(stream)
            answer = _read_all([from_stdout, from_stderr, asked.fileno()], command, deadline)
        out, error, answered = answer
        if len(answered) < _ANSWERS:
            raise RuntimeError(f"warm_process.py has ended: {self._started.communicate()[0].decode()}")
        return Ran(os.waitstatus_to_exitcode(int(answered[1])), b"".join(out).decode(), b"".join(error).decode())

    def start(self, command: Command, streams: list[int]) -> socket.socket:
        """Start the command with these streams; return the socket on which its pid and status arrive."""
        asked = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        asked.connect(self._address)
        socket.send_fds(asked, [_request(command)], streams)
        return asked

    def end(self) -> None:
        """End the process, and remove the directory for shells."""
        self._started.communicate()
        self._place.cleanup()


_ANSWERS = 2


def _request(command: Command) -> bytes:
    given = {
        "arguments": list(command.arguments),
        "directory": str(command.directory),
        "environment": dict(command.environment),
        "host": command.host,
        "user": command.user,
        "name": name_of(command.environment.get("HOME", "")),
    }
    return marshal.dumps(given)


def _read_all(descriptors: list[int], command: Command, deadline: float) -> list[list[bytes]]:
    """Return what is read from each descriptor until its end; the last one is the socket."""
    found: dict[int, list[bytes]] = {descriptor: [] for descriptor in descriptors}
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    unread = set(descriptors)
    while unread:
        left = deadline - time.monotonic()
        if left <= 0:
            _kill(found[descriptors[-1]])
            raise subprocess.TimeoutExpired(list(command.arguments), left)
        for descriptor, _ in poll.poll(left * 1000):
            with suppress(ConnectionResetError):
                if piece := os.read(descriptor, _PIPE):
                    found[descriptor].append(piece)
                    continue
            unread.remove(descriptor)
            poll.unregister(descriptor)
            if descriptor != descriptors[-1]:
                os.close(descriptor)
    return list(found.values())


def _kill(answered: list[bytes]) -> None:
    if answered:
        os.kill(int(answered[0]), signal.SIGKILL)
