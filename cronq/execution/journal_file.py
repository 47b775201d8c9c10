"""Define the file of a journal: a header with the running job and its process, and a line for each ended attempt.

The rescue of a dead runner checks its contents, which may be damaged: none can make a run fail.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import stat
import struct
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from cronq.locks import process_start
from cronq.model.claimed_job import Failure
from cronq.model.outcome import Outcome

if TYPE_CHECKING:
    from cronq.model.claimed_job import Claimed

CHILD_VARIABLE = "CRONQ_CHILD"
"""An environment variable that marks all processes of a child's jobs, so that a rescue kills only those."""

SUFFIX = ".journal"
LINES = 512
"""Offset of the first line."""

_OLD_LINES = 64
"""The same in journals of older versions of cronq, which had no progress in the header."""

_LINE = b"["
"""The first byte of a line; at the offset of an older journal's first line, the header of a new one has a zero."""

HEADER = struct.Struct("<qqqq")
"""The job begun last: its id, its claim's token, its start in monotonic nanoseconds; the pid of its command."""

PROCESS = struct.Struct("<qq")
PROCESS_AT = 32

_CHUNK = 1 << 20
_LARGEST = 256 << 20
"""The most bytes of a journal; a longer file is none, as a child with a journal of 8 MiB gets no more jobs."""

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_KINDS = frozenset({"success", "warning", "error", "timeout", "crashed", "snoozed", ""})


class Entry(NamedTuple):
    """One ended attempt: its job's id, its claim's token, and its outcome."""

    job_id: int
    token: int
    outcome: Outcome


class JournalFile:
    """A child's journal as a file, for reading."""

    def __init__(self, path: str, fd: int) -> None:
        self.path = path
        self._fd = fd

    @classmethod
    def open(cls, path: str) -> Self:
        """Open the journal of another process. Raises OSError if it isn't a journal of this user."""
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        status = os.fstat(fd)
        if stat.S_ISREG(status.st_mode) and status.st_size <= _LARGEST:
            return cls(path, fd)
        os.close(fd)
        raise OSError(errno.EINVAL, "not a journal", path)

    def current(self) -> tuple[int, int, int]:
        """Return the job begun last: its id, its claim's token, its start in monotonic nanoseconds."""
        return self._header()[:3]

    @property
    def command(self) -> int:
        """The pid of the command of the job begun last; 0 for a Python task."""
        return self._header()[3]

    @property
    def process(self) -> int:
        """The child's pid; 0 before it was forked."""
        return self._process()[0]

    @property
    def child_lives(self) -> bool:
        """Whether the child itself, and not another process with its pid, lives."""
        pid, start = self._process()
        return pid > 1 and process_start(pid) == str(start)

    def ended(self) -> list[Entry]:
        """Read the attempts that ended, in order; skips unreadable lines."""
        entries: list[Entry] = []
        pid, place, rest = self.process, self._first_line(), b""
        while chunk := os.pread(self._fd, _CHUNK, place):
            place += len(chunk)
            lines, newline, chunk = chunk.rpartition(b"\n")
            if newline:
                entries += parsed(rest + lines + newline, pid)
                rest = b""
            rest += chunk
        return entries

    # Whether a process of an attempt lives

    @property
    def value(self) -> str:
        """The value of CHILD_VARIABLE in the child's processes."""
        return os.path.basename(self.path).removesuffix(SUFFIX)

    @property
    def mark(self) -> bytes:
        """The line in the environment of processes started by the child's jobs."""
        return f"{CHILD_VARIABLE}={self.value}".encode()

    @property
    def is_held(self) -> bool:
        """Whether the child, or a process that inherited its lock, lives."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        fcntl.flock(self._fd, fcntl.LOCK_UN)
        return False

    def close(self) -> None:
        """Close the file without deleting it."""
        os.close(self._fd)

    def remove(self) -> None:
        """Close and delete the file, after all outcomes were settled."""
        self.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)

    def _first_line(self) -> int:
        return _OLD_LINES if os.pread(self._fd, len(_LINE), _OLD_LINES) == _LINE else LINES

    def _header(self) -> tuple[int, int, int, int]:
        return HEADER.unpack(os.pread(self._fd, HEADER.size, 0).ljust(HEADER.size, b"\0"))

    def _process(self) -> tuple[int, int]:
        return PROCESS.unpack(os.pread(self._fd, PROCESS.size, PROCESS_AT).ljust(PROCESS.size, b"\0"))


def line(job: Claimed, outcome: Outcome) -> bytes:
    """Encode the outcome of a job's attempt as a line."""
    (
        kind, started, finished, verdict, delay, error, exit_status, signal, result, warnings, notes, stdout, stderr,
        peak, before, cpu, _, stop,
    ) = outcome  # fmt: skip
    said = verdict or delay is not None or error or warnings or notes is not None or stop
    nothing_more = not (said or stdout or stderr or signal) and exit_status is None
    if nothing_more and result is None and kind == "success" and None not in (before, peak, cpu):
        # The most common line, built without an encoder.
        plain = f'[{job.id},{job.token},"success",{started},{finished},{before},{peak},{cpu},null]\n'
        return plain.encode()
    fields: list[Any] = [job.id, job.token, kind, started, finished, before, peak, cpu, result]
    if not nothing_more:
        fields.append([verdict, delay, error and list(error), exit_status, signal,
                       warnings, notes, stdout, stderr, stop])  # fmt: skip
    # A lone surrogate, such as of a file name in a traceback, is replaced: no database stores one.
    return _encode(fields).encode("utf-8", "replace") + b"\n"


def parsed(lines: bytes, pid: int) -> list[Entry]:
    """Decode whole lines, written by the child `pid`; lines that can't be read are left out."""
    joined = b"[" + lines[:-1].replace(b"\n", b",") + b"]"
    try:
        return [_entry(fields, pid) for fields in json.loads(joined)]
    except (ValueError, TypeError, RecursionError):
        return [entry for each in lines.splitlines() for entry in _salvaged(each, pid)]


def _salvaged(text: bytes, pid: int) -> list[Entry]:
    """Decode a line that may be damaged by a power loss; returns no entry if it is."""
    try:
        return [_entry(json.loads(text.lstrip(b"\0")), pid)]
    except (ValueError, TypeError, RecursionError):
        return []


_NOTHING_MORE = ("", None, None, None, None, (), None, None, None, False)


def _entry(fields: list[Any], pid: int) -> Entry:
    job_id, token, kind, started, finished, before, peak, cpu, result, *more = fields
    verdict, delay, error, exit_status, signal, warnings, notes, stdout, stderr, stop = (
        more[0] if more else _NOTHING_MORE
    )
    if kind not in _KINDS:
        raise ValueError(kind)
    failure = Failure(*error) if error else None
    outcome = Outcome(
        kind, started, finished, verdict, delay, failure, exit_status, signal, result, tuple(warnings), notes,
        stdout, stderr, peak, before, cpu, pid, stop,
    )  # fmt: skip
    return Entry(job_id, token, outcome)
