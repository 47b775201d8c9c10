"""Keep a copy of what Python code prints, which goes to the terminal as before, because debuggers need that."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from cronq.execution.output_capture import HeadAndTail

if TYPE_CHECKING:
    from typing import Self, TextIO

    from _typeshed import ReadableBuffer

    from cronq.model.outcome import Outcome


class PrintedCopy:
    """Keeps head and tail of what is written to sys.stdout and sys.stderr inside the block."""

    def __init__(self) -> None:
        self._before = (sys.stdout, sys.stderr)
        self._kept = (HeadAndTail(), HeadAndTail())

    def __enter__(self) -> Self:
        sys.stdout, sys.stderr = (
            None if stream is None else _copied(stream, kept)
            for stream, kept in zip(self._before, self._kept, strict=True)
        )
        return self

    def __exit__(self, *_: object) -> None:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):  # the task may have replaced or closed it
                stream.flush()
        sys.stdout, sys.stderr = self._before

    def added_to(self, outcome: Outcome) -> Outcome:
        """Return the outcome with this output, unless it has output of its own: that of a command."""
        stdout, stderr = (kept.text() for kept in self._kept)
        return outcome._replace(stdout=outcome.stdout or stdout, stderr=outcome.stderr or stderr)


def _copied(stream: TextIO, kept: HeadAndTail) -> TextIO:
    stream.flush()
    written = io.BufferedWriter(_Copying(stream.fileno(), kept))
    return io.TextIOWrapper(written, encoding=stream.encoding, errors="backslashreplace", line_buffering=True)


class _Copying(io.RawIOBase):
    """Writes to a descriptor and adds what was written to the copy; has no descriptor of its own to close."""

    def __init__(self, fd: int, kept: HeadAndTail) -> None:
        super().__init__()
        self._fd = fd
        self._kept = kept

    def fileno(self) -> int:
        """Return the descriptor: input() lets the user edit lines only if it is the terminal's."""
        return self._fd

    def isatty(self) -> bool:
        """Tell whether this is a terminal."""
        return os.isatty(self._fd)

    def writable(self) -> bool:
        """Tell that it can be written to."""
        return True

    def write(self, data: ReadableBuffer, /) -> int:
        """Write and keep; returns how many bytes were taken."""
        written = os.write(self._fd, data)
        self._kept.add(bytes(data)[:written])
        return written
