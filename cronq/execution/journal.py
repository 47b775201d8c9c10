"""Record in a child's journal which job it runs and how each attempt ended, and read it in the runner.

One file for each child. Its header names the job that runs now; one line for each ended attempt
follows, written before anything else happens. The runner reads outcomes from it, and the rescue
of a dead runner reads the same lines.

The runner and its child share memory beside the file: how far the file is written, what runs,
and the one line that could not be written. So neither depends on the file, which a task may change.

The file is not synced: it survives the death of any process, but not a power loss, after which
the attempts whose outcome was not in the database yet run again.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
from typing import TYPE_CHECKING, Self

from cronq.execution import progress_record
from cronq.execution.journal_file import HEADER, LINES, PROCESS, PROCESS_AT, SUFFIX, JournalFile, line, parsed
from cronq.locks import is_worker, process_start, worker_path
from cronq.system.descriptors import out_of_the_way

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cronq.config.loader import Config
    from cronq.execution.journal_file import Entry
    from cronq.model.claimed_job import Claimed
    from cronq.model.outcome import Outcome

_ALIVE = ".alive"
_ASIDE = ".unreadable"

_NO_JOURNAL = (errno.EINVAL, errno.ELOOP, errno.EACCES, errno.EPERM, errno.ENXIO)

_TAIL, _UNWRITTEN, _ORDER, _LEAVING = 4, 5, 6, 8
"""Places in the shared memory, in words of 8 bytes: the end of the lines, the length of the unwritten line, the attempt
that is to end before its time limit, by its job's id and its claim's token, and whether the child is about to end. The
header comes first."""

_UNWRITTEN_AT = 72
_SHARED = _UNWRITTEN_AT + (4 << 20)
"""Bytes of shared memory; pages that are never touched take no memory."""


class Journal:
    """One child's journal. The runner opens it before the fork, so both share it."""

    def __init__(self, file: JournalFile, fd: int) -> None:
        self.file = file
        self._fd = fd
        self._header = mmap.mmap(fd, LINES)
        self._shared = mmap.mmap(-1, _SHARED)
        self._words = memoryview(self._shared).cast("q")
        self._words[_TAIL] = LINES
        self._read = LINES
        self._held = -1
        self.full = False
        """Whether a line could not be written to the file, as far as the runner has read."""

    @classmethod
    def create(cls, path: str) -> Self:
        """Create the file at this path, with an empty header."""
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        file = JournalFile(path, fd)
        try:
            os.pwrite(fd, bytes(LINES), 0)  # writing to a mapped page without room on the disk kills the process
        except OSError:
            file.remove()
            raise
        return cls(file, fd)

    # The child's side

    def take_over(self) -> None:
        """In the child: take a lock that its descendants inherit, also through exec; it is held while one lives."""
        fd = os.open(self.file.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        self._held = out_of_the_way(fd, inherited=True)
        self._fd = out_of_the_way(self._fd)
        fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def release_lock(self) -> None:
        """In the child: release the lock, also for processes that have inherited it."""
        with contextlib.suppress(OSError):  # a task may have closed it
            fcntl.flock(self._held, fcntl.LOCK_UN)

    def announce_end(self) -> None:
        """In the child: announce that it starts no further job."""
        self._words[_LEAVING] = 1

    def begin(self, job: Claimed, monotonic: int) -> None:
        """Record the job that starts now, at this monotonic time in nanoseconds."""
        HEADER.pack_into(self._header, 0, job.id, job.token, monotonic, 0)
        HEADER.pack_into(self._shared, 0, job.id, job.token, monotonic, 0)

    def name_command(self, pid: int) -> None:
        """Record the pid of the running job's command."""
        HEADER.pack_into(self._header, 0, *self.current(), pid)

    @property
    def place_of_progress(self) -> str:
        """The value of CRONQ_PROGRESS for the running job's command."""
        job_id, token, _ = self.current()
        return f"{job_id}:{token}:{self.file.path}"

    def show_progress(self, done: object, total: object, note: object) -> None:
        """Record the progress of the running job, without a system call. Raises InvalidInput for wrong numbers."""
        start, end = progress_record.PROGRESS_AT, progress_record.PROGRESS_AT + progress_record.SIZE
        earlier = progress_record.parsed(self._header[start:end])
        job_id, token, _ = self.current()
        record = progress_record.packed((job_id, token), earlier, (done, total, note))
        self._header[start : start + len(record)] = record

    def append(self, job: Claimed, outcome: Outcome) -> None:
        """Record the outcome of the job's attempt.

        Raises OSError if the line can't be written (a full disk, a limit that the task has set): the runner
        reads this attempt all the same, but no further one of this child.
        """
        text = line(job, outcome)
        tail = self._words[_TAIL]
        try:
            written = os.pwrite(self._fd, text, tail)
            while written < len(text):
                written += os.pwrite(self._fd, text[written:], tail + written)
        except OSError:
            self._leave_unwritten(job, outcome, text)
            raise
        self._words[_TAIL] = tail + written

    def _leave_unwritten(self, job: Claimed, outcome: Outcome, text: bytes) -> None:
        for reduced in (
            outcome._replace(stdout=None, stderr=None),
            outcome._replace(stdout=None, stderr=None, result=None, notes=None, warnings=()),
        ):
            if len(text) <= _SHARED - _UNWRITTEN_AT:
                break
            text = line(job, reduced)
        self._shared[_UNWRITTEN_AT : _UNWRITTEN_AT + len(text)] = text
        self._words[_UNWRITTEN] = len(text)

    @property
    def order(self) -> tuple[int, int]:
        """The attempt that is to end before its time limit: its job's id and its claim's token."""
        return self._words[_ORDER], self._words[_ORDER + 1]

    # The runner's side

    def name_process(self, pid: int) -> None:
        """Record the child's pid, which is also its process group's, and its start time."""
        os.pwrite(self._fd, PROCESS.pack(pid, int(process_start(pid) or 0)), PROCESS_AT)

    def tell_to_end(self, job: Claimed) -> None:
        """Record for the child which attempt the next SIGTERM is to end."""
        self._words[_ORDER], self._words[_ORDER + 1] = job.id, job.token

    def current(self) -> tuple[int, int, int]:
        """Return the job begun last: its id, its claim's token, its start in monotonic nanoseconds."""
        return HEADER.unpack_from(self._shared, 0)[:3]

    def progress(self) -> progress_record.Record | None:
        """Return the progress that the running job has recorded; None if it has recorded none."""
        # Not by the mapping: once a task has truncated the file, access to it would kill the runner.
        found = progress_record.parsed(os.pread(self._fd, progress_record.SIZE, progress_record.PROGRESS_AT))
        return found if found is not None and found[:2] == self.current()[:2] else None

    def ended(self, pid: int) -> list[Entry]:
        """Return the attempts that ended since the last call, in order; `pid` is the child's, for their outcomes."""
        entries: list[Entry] = []
        unwritten = self._words[_UNWRITTEN]  # read first: after it the child writes no further line
        missing = self._words[_TAIL] - self._read
        if missing > 0:
            text = os.pread(self._fd, missing, self._read)
            whole = text.rfind(b"\n") + 1
            self._read += whole
            entries = parsed(text[:whole], pid) if whole else []
        return entries + self._take_unwritten(unwritten, pid) if unwritten else entries

    def _take_unwritten(self, length: int, pid: int) -> list[Entry]:
        text = self._shared[_UNWRITTEN_AT : _UNWRITTEN_AT + length]
        self._words[_UNWRITTEN] = 0
        self.full = True
        with contextlib.suppress(OSError):  # succeeds if the limit was one of the child alone
            os.pwrite(self._fd, text, self._words[_TAIL])
        return parsed(text, pid)

    @property
    def is_leaving(self) -> bool:
        """Whether the child starts no further job."""
        return self._words[_LEAVING] > 0

    def has_more(self) -> bool:
        """Tell whether an attempt ended that `ended` has not returned yet."""
        return self._words[_TAIL] > self._read or self._words[_UNWRITTEN] > 0

    @property
    def size(self) -> int:
        """Bytes of lines read so far."""
        return self._read - LINES

    def forget(self) -> None:
        """Delete the lines, after all of them were settled, and while the child has no jobs."""
        os.ftruncate(self._fd, LINES)
        self._read = self._words[_TAIL] = LINES

    def close(self) -> None:
        """Close the file without deleting it."""
        self._words.release()
        self._shared.close()
        self._header.close()
        self.file.close()

    def remove(self) -> None:
        """Close and delete the file, after all outcomes were settled."""
        self.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.file.path)


def path_for(config: Config, worker: str, number: int) -> str:
    """Return the path of a child's journal."""
    return f"{worker_path(config, worker)}.{number}{SUFFIX}"


def journals_of(config: Config, worker: str) -> Iterator[JournalFile]:
    """Open a worker's journals one by one, for the caller to close; files that aren't journals are skipped."""
    if not is_worker(worker):
        return
    folder, _, ours = worker_path(config, f"{worker}.").rpartition("/")
    for name in _names(folder, ours, SUFFIX):
        try:
            yield JournalFile.open(f"{folder}/{name}")
        except OSError as error:
            if error.errno not in (errno.ENOENT, *_NO_JOURNAL):
                raise


def set_aside_unreadable(config: Config, worker: str) -> Iterator[str]:
    """Rename a worker's journals that can't be read; yields a text for the log about each."""
    folder, _, ours = worker_path(config, f"{worker}.").rpartition("/")
    for path in (f"{folder}/{name}" for name in _names(folder, ours, SUFFIX)):
        try:
            JournalFile.open(path).close()
        except OSError as error:
            if error.errno in _NO_JOURNAL:
                os.rename(path, path + _ASIDE)
                yield f"{path} can't be read as a journal ({error.strerror}): it is {path}{_ASIDE} now"


def workers(config: Config) -> set[str]:
    """Return the names of the workers that have a journal or a liveness file on this host."""
    folder, _, ours = worker_path(config, "").rpartition("/")
    journals = {name.rsplit(".", 2)[0] for name in _names(folder, ours, SUFFIX)}
    alive = {name.removesuffix(_ALIVE) for name in _names(folder, ours, _ALIVE)}
    return {name.removeprefix(ours) for name in journals | alive}


def _names(folder: str, start: str, end: str) -> list[str]:
    return sorted(name for name in os.listdir(folder) if name.startswith(start) and name.endswith(end))
