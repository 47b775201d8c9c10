"""Run many commands in the current directory, each into pipes and on a terminal; print all their output as JSON.

A program of its own (python -m tests.every_way_out), which forks for each command, so that modules are imported once.
"""

from __future__ import annotations

import fcntl
import gc
import io
import json
import os
import pty
import struct
import sys
import tempfile
import termios
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout

from cronq import cli
from tests.warm_process import declare_all

WARM = (["ls"], ["show", "1"], ["top", "--once"], ["workers"], ["status"], ["errors"], ["why", "1"], ["doctor"])
"""Commands that import what most commands need."""

SIZE = (50, 200)


def into_files(arguments: Sequence[str]) -> tuple[str, str]:
    """Run a command in a fork; return what it writes to stdout and to stderr."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        pid = os.fork()
        if pid == 0:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            _end(arguments)
        os.waitpid(pid, 0)
        return tuple(_content(file.fileno()) for file in (out, err))  # type: ignore[return-value]


def on_terminal(arguments: Sequence[str]) -> str:
    """Run a command in a fork; return what it writes to a terminal."""
    pid, leader = pty.fork()
    if pid == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", *SIZE, 0, 0))
        _end(arguments)
    written = b""
    while True:
        try:
            chunk = os.read(leader, 65536)
        except OSError:  # the other end is closed
            chunk = b""
        if not chunk:
            break
        written += chunk
    os.waitpid(pid, 0)
    os.close(leader)
    return written.decode().replace("\r\n", "\n")


def _content(fd: int) -> str:
    os.lseek(fd, 0, os.SEEK_SET)
    return os.read(fd, 1 << 24).decode()


def _end(arguments: Sequence[str]) -> None:
    status = 70
    try:
        # Python's streams were made for the descriptors as they were before.
        sys.stdout, sys.stderr = (open(fd, "w", buffering=1, closefd=False) for fd in (1, 2))  # noqa: SIM115
        status = cli.main(arguments)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 70
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def warm_up() -> None:
    """Import the modules and declare the commands once, instead of in each fork."""
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        for one in WARM:
            cli.main(one)
    declare_all()
    gc.freeze()


if __name__ == "__main__":
    warm_up()
    json.dump([[*into_files(one), on_terminal(one)] for one in json.loads(sys.argv[1])], sys.stdout)
