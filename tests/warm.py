"""`cronq` commands run as forks of a process that has imported it already: the same process without the start.

Four fifths of what a short command costs is Python's start and the imports. What is tested of these
(tests/cli/test_startup.py), and commands that go on or start others, are started as a person would.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

_PROGRAM = Path(__file__).with_name("warm_process.py")
_PIPE = 1 << 16
_PLAIN = {"HOME", "PATH", "TZ"}


class Ran(NamedTuple):
    """How a command ended and what it printed."""

    status: int
    stdout: str
    stderr: str


class Command(NamedTuple):
    """One command: its arguments, where it runs, and all of its environment."""

    arguments: Sequence[str]
    directory: Path
    environment: Mapping[str, str]
    stdin: str = ""

    def may_be_forked(self) -> bool:
        """Whether Python itself would take no notice of what is different, and the input fits into a pipe."""
        strange = [name for name in self.environment if name not in _PLAIN and not name.startswith("CRONQ_")]
        return not strange and len(self.stdin) < _PIPE // 4


def run(script: Path, command: Command, seconds: float) -> Ran:
    """Run it to its end, at most `seconds` long."""
    return _process(script).run(command, time.monotonic() + seconds)


@functools.cache
def _process(script: Path) -> _Process:
    started = _Process(script)
    atexit.register(started.end)
    return started


class _Process:
    def __init__(self, script: Path) -> None:
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # As a command of Project starts: what Python reads from the environment, it reads here.
        self._started = subprocess.Popen(
            [sys.executable, str(_PROGRAM), str(theirs.fileno()), str(script)],
            pass_fds=[theirs.fileno()],
            env={"PATH": "/usr/bin:/bin"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        theirs.close()

    def run(self, command: Command, deadline: float) -> Ran:
        """Run it to its end, or to the deadline."""
        pipes = [os.pipe() for _ in range(4)]
        (stdin, to_stdin), (from_stdout, stdout), (from_stderr, stderr), (from_process, answer) = pipes
        os.write(to_stdin, command.stdin.encode())
        os.close(to_stdin)
        given = {
            "arguments": list(command.arguments),
            "directory": str(command.directory),
            "environment": dict(command.environment),
        }
        theirs = [stdin, stdout, stderr, answer]
        try:
            socket.send_fds(self._requests, [json.dumps(given).encode()], theirs)
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        out, error, answered = _read_all([from_stdout, from_stderr, from_process], command, deadline)
        if not answered.endswith(b"\n"):
            raise RuntimeError(f"{_PROGRAM} has ended: {self._started.communicate()[0].decode()}")
        return Ran(os.waitstatus_to_exitcode(int(answered.split()[1])), out.decode(), error.decode())

    def end(self) -> None:
        """End it: it does when there is nobody left to ask."""
        self._requests.close()
        self._started.communicate()


def _read_all(descriptors: list[int], command: Command, deadline: float) -> list[bytes]:
    found = dict.fromkeys(descriptors, b"")
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
            piece = os.read(descriptor, _PIPE)
            found[descriptor] += piece
            if not piece:
                unread.remove(descriptor)
                poll.unregister(descriptor)
                os.close(descriptor)
    return list(found.values())


def _kill(answered: bytes) -> None:
    if answered:
        os.kill(int(answered.split()[0]), signal.SIGKILL)
