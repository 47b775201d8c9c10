"""Run a command on a terminal: read its output, press keys, and compare the terminal's settings."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import termios
from collections.abc import Mapping
from typing import Any, Self

from tests.project import Project
from tests.waiting import readable, wait_until

_CONTROL = re.compile(r"\x1b\[[?\d;]*[A-Za-z]")


class Terminal:
    """One `cronq ARGUMENTS` on a terminal of its own."""

    def __init__(
        self,
        project: Project,
        *arguments: str | int,
        columns: int = 100,
        rows: int = 30,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self._leader, self._follower = pty.openpty()
        fcntl.ioctl(self._follower, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.before = self.attributes()
        self._rows = rows
        self._read = b""
        environment = {"TERM": "xterm", "NO_COLOR": "1", **(env or {})}
        self.process = project.start_on(self._follower, *arguments, env=environment)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_failure: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._leader)
        os.close(self._follower)

    def attributes(self) -> list[Any]:
        """Return the settings of the terminal: echo, line mode and the others."""
        return termios.tcgetattr(self._follower)

    def press(self, keys: str) -> None:
        """Send these keys."""
        os.write(self._leader, keys.encode())

    @property
    def raw(self) -> str:
        """All that was written since the last `wait_for`."""
        while readable(self._leader):
            self._read += os.read(self._leader, 65536)
        return self._read.decode(errors="replace").replace("\r\n", "\n")

    @property
    def text(self) -> str:
        """The same without control sequences."""
        return _CONTROL.sub("", self.raw)

    @property
    def frame(self) -> list[str]:
        """The lines of the last complete frame of a live view."""
        drawn = [_CONTROL.sub("", picture) for picture in self.raw.split("\x1b[H")[1:]]
        whole = [picture for picture in drawn if picture.count("\n") >= self._rows - 1]
        return [line.rstrip() for line in whole[-1].split("\n")][: self._rows] if whole else []

    def see(self, *texts: str) -> list[str]:
        """Wait until all of these texts are in the frame; return its lines."""
        wait_until(
            lambda: all(text in "\n".join(self.frame) for text in texts), seconds=60, what=f"{texts!r} on the screen"
        )
        return self.frame

    def wait_for(self, text: str) -> str:
        """Wait until this has been written since the last call; return all that was written since then."""
        wait_until(lambda: text in self.text, what=f"{text!r} on the terminal")
        seen, self._read = self.text, b""
        return seen

    def end(self) -> int:
        """Wait for the command's end; return its exit status."""
        wait_until(lambda: (self.raw, self.process.poll())[1] is not None, what="the end of the command")
        return self.process.wait()


def on_terminal(
    project: Project, *arguments: str | int, columns: int = 100, rows: int = 30, env: Mapping[str, str] | None = None
) -> str:
    """Run a command that ends by itself on a terminal; return its output."""
    with Terminal(project, *arguments, columns=columns, rows=rows, env=env) as terminal:
        terminal.end()
        return terminal.raw
