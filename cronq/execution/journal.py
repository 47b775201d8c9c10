"""The runner's journal: what each child is running, and how each attempt ended.

One file for each child. Its first bytes are a mapped header that says which job runs now;
behind it stands one line for each ended attempt, written before anything else happens. The
runner reads its children's answers from here, and whoever rescues a dead runner reads the
same lines, so there is one truth about what ended.

The file is not synced: it outlives every process, not the machine. After a power loss the
attempts whose outcome was not in the database yet run again.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import mmap
import os
import struct
from typing import TYPE_CHECKING, Any, NamedTuple

from cronq.locks import process_start, worker_path
from cronq.model.claimed_job import Failure
from cronq.model.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cronq.config.loader import Config
    from cronq.model.claimed_job import Claimed

CHILD_VARIABLE = "CRONQ_CHILD"
"""Names the child to everything that its jobs start, so that a rescue kills only what is its own."""

_HEADER = struct.Struct("<qqqq")
_COMMAND = struct.Struct("<q")
_COMMAND_AT = 24
_PROCESS = struct.Struct("<qq")
_PROCESS_AT = 32
_LINES = 64
"""Where the lines begin."""

_SUFFIX = ".journal"
_ALIVE = ".alive"
_CHUNK = 1 << 20
_OUT_OF_THE_WAY = 100
"""The lowest descriptor for the inherited lock: scripts use the low ones for themselves."""

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Entry(NamedTuple):
    """One ended attempt: which job, under which claim, and how it ended."""

    job_id: int
    token: int
    outcome: Outcome


class Journal:
    """One child's file. The runner opens it before the fork, so both share it."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        if os.fstat(self._fd).st_size < _LINES:
            os.ftruncate(self._fd, _LINES)
        self._header = mmap.mmap(self._fd, _LINES)
        self._read = _LINES
        self._held = -1

    def begin(self, job: Claimed, monotonic: int) -> None:
        """Note the job that starts now, at this monotonic time in nanoseconds."""
        _HEADER.pack_into(self._header, 0, job.id, job.token, monotonic, 0)

    def name_command(self, pid: int) -> None:
        """Note the process of the command that the running job is."""
        _COMMAND.pack_into(self._header, _COMMAND_AT, pid)

    @property
    def command(self) -> int:
        """The process of the command that the job begun last is; 0 for a Python task."""
        return int(_COMMAND.unpack_from(self._header, _COMMAND_AT)[0])

    # Whether anything of an attempt lives

    @property
    def value(self) -> str:
        """What the child's processes have in CHILD_VARIABLE."""
        return os.path.basename(self.path).removesuffix(_SUFFIX)

    @property
    def mark(self) -> bytes:
        """The line in the environment of what the child's jobs start."""
        return f"{CHILD_VARIABLE}={self.value}".encode()

    def hold(self) -> None:
        """In the child: take a lock that all its descendants inherit, through exec too, and hold while one lives."""
        fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            self._held = fcntl.fcntl(fd, fcntl.F_DUPFD, _OUT_OF_THE_WAY)
        except OSError:  # fewer descriptors are allowed
            self._held = fcntl.fcntl(fd, fcntl.F_DUPFD, 3)
        os.close(fd)
        fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def let_go(self) -> None:
        """In the child: free the lock, whatever was left running has inherited of it."""
        with contextlib.suppress(OSError):  # a task may have closed it
            fcntl.flock(self._held, fcntl.LOCK_UN)

    @property
    def is_held(self) -> bool:
        """Whether the child, or something that inherited its lock, lives."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        fcntl.flock(self._fd, fcntl.LOCK_UN)
        return False

    def name_process(self, pid: int) -> None:
        """Note the child's pid, which is also its process group's, and when it was started."""
        _PROCESS.pack_into(self._header, _PROCESS_AT, pid, int(process_start(pid) or 0))

    @property
    def process(self) -> int:
        """The child's pid; 0 before it was forked."""
        return int(_PROCESS.unpack_from(self._header, _PROCESS_AT)[0])

    @property
    def child_lives(self) -> bool:
        """Whether the child itself, and not another process of its number, lives."""
        pid, start = _PROCESS.unpack_from(self._header, _PROCESS_AT)
        return pid > 1 and process_start(pid) == str(start)

    def append(self, job: Claimed, outcome: Outcome) -> None:
        """Note how the job's attempt ended."""
        line = _line(job.id, job.token, outcome)
        written = os.write(self._fd, line)
        while written < len(line):
            written += os.write(self._fd, line[written:])

    def current(self) -> tuple[int, int, int]:
        """The job begun last: its id, its claim's token, its start in monotonic nanoseconds."""
        return _HEADER.unpack_from(self._header, 0)[:3]

    def ended(self) -> list[Entry]:
        """The attempts that ended since the last call, in order."""
        entries: list[Entry] = []
        while True:
            chunk = os.pread(self._fd, _CHUNK, self._read)
            whole = chunk.rfind(b"\n") + 1
            if not whole and len(chunk) == _CHUNK:
                chunk, whole = self._long_line()
            if not whole:
                return entries
            self._read += whole
            entries += _parse(chunk[:whole], self.process)

    def _long_line(self) -> tuple[bytes, int]:
        chunk = os.pread(self._fd, os.fstat(self._fd).st_size - self._read, self._read)
        return chunk, chunk.rfind(b"\n") + 1

    def has_more(self) -> bool:
        """Whether an attempt ended that `ended` has not told yet."""
        return os.fstat(self._fd).st_size > self._read

    @property
    def size(self) -> int:
        """Bytes of lines read so far."""
        return self._read - _LINES

    def forget(self) -> None:
        """Drop the lines: all of them are settled, and the child has nothing in hand."""
        os.ftruncate(self._fd, _LINES)
        self._read = _LINES

    def close(self) -> None:
        """Close the file and leave it."""
        self._header.close()
        os.close(self._fd)

    def remove(self) -> None:
        """Close the file and delete it: nothing in it is needed any more."""
        self.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)


def path_for(config: Config, worker: str, number: int) -> str:
    """The journal of a worker's child."""
    return f"{worker_path(config, worker)}.{number}{_SUFFIX}"


def left_by(config: Config, worker: str) -> Iterator[Journal]:
    """The journals that a worker left behind, opened."""
    folder, _, ours = worker_path(config, f"{worker}.").rpartition("/")
    for name in _names(folder, ours, _SUFFIX):
        yield Journal(f"{folder}/{name}")


def workers(config: Config) -> set[str]:
    """The workers that have a journal or a liveness file here."""
    folder, _, ours = worker_path(config, "").rpartition("/")
    journals = {name.rsplit(".", 2)[0] for name in _names(folder, ours, _SUFFIX)}
    alive = {name.removesuffix(_ALIVE) for name in _names(folder, ours, _ALIVE)}
    return {name.removeprefix(ours) for name in journals | alive}


def _names(folder: str, start: str, end: str) -> list[str]:
    return sorted(name for name in os.listdir(folder) if name.startswith(start) and name.endswith(end))


def _line(job_id: int, token: int, outcome: Outcome) -> bytes:
    (
        kind, started, finished, verdict, delay, error, exit_status, signal, result, warnings, notes, stdout, stderr,
        peak, before, cpu, _, stop,
    ) = outcome  # fmt: skip
    said = verdict or delay is not None or error or warnings or notes is not None or stop
    nothing_more = not (said or stdout or stderr or signal) and exit_status is None
    if nothing_more and result is None and kind == "success" and None not in (before, peak, cpu):
        # The most common line, put together without an encoder.
        plain = f'[{job_id},{token},"success",{started},{finished},{before},{peak},{cpu},null]\n'
        return plain.encode()
    fields: list[Any] = [job_id, token, kind, started, finished, before, peak, cpu, result]
    if not nothing_more:
        fields.append([verdict, delay, error and [error.kind, error.message, error.traceback], exit_status, signal,
                       warnings, notes, stdout, stderr, stop])  # fmt: skip
    # A lone surrogate, of a file name in a traceback say, would come back as one, and no database takes it.
    return _encode(fields).encode("utf-8", "replace") + b"\n"


def _parse(lines: bytes, pid: int) -> list[Entry]:
    joined = b"[" + lines[:-1].replace(b"\n", b",") + b"]"
    try:
        return [_entry(fields, pid) for fields in json.loads(joined)]
    except (ValueError, TypeError):
        return [entry for line in lines.splitlines() for entry in _salvaged(line, pid)]


def _salvaged(line: bytes, pid: int) -> list[Entry]:
    """The line's entry, none where a power loss left something else."""
    try:
        return [_entry(json.loads(line), pid)]
    except (ValueError, TypeError):
        return []


_NOTHING_MORE = ("", None, None, None, None, (), None, None, None, False)


def _entry(fields: list[Any], pid: int) -> Entry:
    job_id, token, kind, started, finished, before, peak, cpu, result, *more = fields
    verdict, delay, error, exit_status, signal, warnings, notes, stdout, stderr, stop = (
        more[0] if more else _NOTHING_MORE
    )
    failure = Failure(*error) if error else None
    outcome = Outcome(
        kind, started, finished, verdict, delay, failure, exit_status, signal, result, tuple(warnings), notes,
        stdout, stderr, peak, before, cpu, pid, stop,
    )  # fmt: skip
    return Entry(job_id, token, outcome)
