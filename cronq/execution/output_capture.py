"""Capture what a job writes to stdout and stderr, and keep the head and tail of each.

Python tasks write into a memory file, which costs nothing without output; the runner frees the
middle of a long output while the task still runs. Commands write into a pipe that their executor
reads, so that `> /dev/stderr` works in a script.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from cronq.system.descriptors import out_of_the_way

if TYPE_CHECKING:
    from typing import TextIO

KEPT = 65_536
"""Bytes kept of the beginning, and again of the end, of each stream."""

_LONG = 16 << 20
_PAGE = 4096
_KEEP_SIZE_AND_PUNCH_HOLE = 3


class Capture:
    """A memory file behind one descriptor of a child, shared with the runner."""

    stream: TextIO
    """The stream to which the child's Python code writes, once it is attached."""

    def __init__(self, name: str) -> None:
        self._fd = _memory_file(name)
        self._target = -1

    def attach(self, target: int) -> None:
        """Make this the child's descriptor `target`."""
        if self._target < 0:
            self._fd = out_of_the_way(self._fd)
        self._target = target
        os.dup2(self._fd, target)
        self.stream = _stream(target)

    def text(self) -> str | None:
        """Return the head and tail of the output; None if there is none."""
        size = os.fstat(self._fd).st_size
        if size == 0:
            return None
        if size <= 2 * KEPT:
            return readable(os.pread(self._fd, size, 0))
        return shortened(os.pread(self._fd, KEPT, 0), os.pread(self._fd, KEPT, size - KEPT), size)

    def last(self, number: int) -> tuple[int, bytes]:
        """Return the number of bytes written, and the last `number` of them."""
        size = os.fstat(self._fd).st_size
        start = max(0, size - number)
        return size, os.pread(self._fd, size - start, start)

    def take(self) -> str | None:
        """In the child: return head and tail of the output, and empty the file.

        Reads through the child's descriptor, to notice that a task has closed or replaced it.
        """
        try:
            self.stream.flush()
            if os.lseek(self._target, 0, os.SEEK_END) == 0:
                return None
        except (OSError, ValueError):  # closed, or replaced by a pipe
            self.attach(self._target)
        text = self.text()
        os.ftruncate(self._fd, 0)
        os.lseek(self._fd, 0, os.SEEK_SET)
        os.dup2(self._fd, self._target)
        return text

    def trim(self) -> None:
        """Free the memory of a long output's middle."""
        size = os.fstat(self._fd).st_size
        if size > _LONG and sys.platform.startswith("linux"):
            start = KEPT
            _punch_hole(self._fd, start, (size - KEPT - start) // _PAGE * _PAGE)

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


class HeadAndTail:
    """Keeps head and tail of a stream that arrives in chunks."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._tail = bytearray()
        self._size = 0

    def add(self, chunk: bytes) -> None:
        """Take the next chunk."""
        self._size += len(chunk)
        free = KEPT - len(self._head)
        self._head += chunk[:free]
        self._tail += chunk[free:]
        if len(self._tail) > 4 * KEPT:
            del self._tail[:-KEPT]

    def text(self) -> str | None:
        """Return head and tail; None if the stream was empty."""
        if self._size <= 2 * KEPT:
            return readable(bytes(self._head + self._tail)) if self._size else None
        return shortened(bytes(self._head), bytes(self._tail[-KEPT:]), self._size)


def shortened(head: bytes, tail: bytes, size: int) -> str:
    """Join head and tail to a text, with the number of bytes left out in between."""
    missing = size - len(head) - len(tail)
    return f"{readable(head)}\n[… {missing} bytes left out …]\n{readable(tail)}"


def readable(data: bytes) -> str:
    """Decode bytes to text that every database takes; NUL and bytes that aren't UTF-8 are escaped."""
    return data.decode("utf-8", "backslashreplace").replace("\0", "\\x00")


def _stream(fd: int) -> TextIO:
    return open(fd, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)


def _memory_file(name: str) -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create(name)
    import tempfile

    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _punch_hole(fd: int, start: int, length: int) -> None:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    libc.fallocate(fd, _KEEP_SIZE_AND_PUNCH_HOLE, ctypes.c_long(start), ctypes.c_long(length))


def storable(text: str) -> str:
    """Escape the characters that a database refuses: lone surrogates (of file names) and NUL."""
    return readable(text.encode("utf-8", "backslashreplace"))
