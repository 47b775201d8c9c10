"""Manage lock files, which keep runs apart and show which runners are alive.

A lock file stays after its holder has ended. Removing it while another process opens it would
split the next two holders across two files, and both would run. Liveness files are the exception:
their names are used once, so their runner or its rescuer removes them, under the lock.

flock(2) is taken directly, because these locks are taken by every start and filelock takes
37 ms to import; the kernel's lock is the same. A guard that waits uses filelock.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from binascii import crc32

from cronq.errors import ConfigError, Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from filelock import BaseFileLock

    from cronq.config.loader import Config

_OPEN = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


_ALIVE = ".alive"
_UNNAMED = ".new"
_UNNAMED_FOR = 60.0
"""Seconds after which a liveness file that has no final name yet was left by a runner that was killed."""

_LONGEST_NAME = 200
_LONGEST_RECORD = 8192
_OTHERS_WRITE = 0o022

_own: set[int] = set()
"""Descriptors that a fork closes, so that a daemon started by a task can't hold these locks."""

_children_too: set[int] = set()
"""Descriptors that children of this process keep, and that a fork of a child closes."""


def _after_fork() -> None:
    for fd in _own:
        try:
            os.close(fd)
        except OSError:
            continue  # a task had closed it
    _own.clear()
    _own.update(_children_too)
    _children_too.clear()


os.register_at_fork(after_in_child=_after_fork)


def drop_inherited() -> None:
    """Close the locks that this process has inherited by a fork, if it runs no jobs."""
    _after_fork()


class RunLock:
    """Allows one `cronq run` with the same database and filter at a time on this host."""

    def __init__(self, config: Config, purpose: str = "run", filters: str = "", queues: str = "") -> None:
        self._queues = queues
        self.before = ""
        """The lock file's content from the last run, once the lock is taken; cronq.storage.run_history reads it."""
        chosen = f"-{digest(filters)}" if filters else ""
        self.path = f"{config.lock_dir}/{purpose}-{digest(config.identity())}{chosen}.lock"
        self.acquired = False
        self._config = config
        self._fd = -1

    def __enter__(self) -> Self:
        folder(self._config)
        _check_folder(self.path)
        self._fd = _open(self.path)
        _own.add(self._fd)
        self.acquired = _flock(self._fd, self.path)
        if self.acquired:
            self.before = self._written()
            os.ftruncate(self._fd, 0)
            self._began = f"{os.getpid()} {time.time_ns() // 1000}\n"
            _write(self._fd, self.path, self._began)
        return self

    def end(self, status: int, error: str = "") -> str:
        """Write the run's exit status and its error into the lock file; returns the new content."""
        text = f"{self._began}{time.time_ns() // 1000} {status}\n{self._queues}\n{error}\n"
        _write(self._fd, self.path, text)
        return text

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _own.discard(self._fd)
        os.close(self._fd)

    @property
    def holder(self) -> tuple[int, int] | None:
        """The pid and the start instant of the process that holds the lock, or held it last; None if unknown."""
        words = self._written().partition("\n")[0].split()
        return (int(words[0]), int(words[1])) if len(words) == 2 else None  # noqa: PLR2004

    def _written(self) -> str:
        return os.pread(self._fd, _LONGEST_RECORD, 0).decode(errors="replace")


def run_locks(config: Config) -> list[str]:
    """Return the lock files of this database's runs on this host; none if this user may not read the directory."""
    prefix = f"run-{digest(config.identity())}"
    try:
        return [f"{config.lock_dir}/{name}" for name in os.listdir(config.lock_dir) if name.startswith(prefix)]  # noqa: PTH208
    except OSError:  # it isn't there yet, or is another user's
        return []


def guard(config: Config, purpose: str, *, timeout: float = 60.0) -> BaseFileLock:
    """Make a lock, a context manager waiting up to `timeout` seconds, for commands that must not run twice at once."""
    from filelock import FileLock

    path = f"{folder(config)}/{purpose}-{digest(config.identity())}.lock"
    return FileLock(path, timeout=timeout, mode=0o600, fallback_to_soft=False)


def new_worker() -> str:
    """Make a name for a runner that starts now; none is used twice."""
    host = os.uname().nodename.replace("/", "_").lstrip(".")
    return f"{host}-{os.getpid()}-{os.urandom(3).hex()}"


def is_worker(name: str) -> bool:
    """Tell whether `new_worker` could have made this name: a name in the database may be anything."""
    return 0 < len(name) <= _LONGEST_NAME and name[0] != "." and not {"/", "\0"} & set(name)


class Liveness:
    """The lock that shows that a runner or one of its children is alive.

    The children inherit the descriptor by fork; processes that they fork or start don't.
    """

    def __init__(self, worker: str, path: str, fd: int) -> None:
        self.worker = worker
        self.path = path
        self._fd = fd

    @classmethod
    def lock(cls, config: Config, worker: str) -> Self:
        """Make the worker's liveness file and lock it. Raises ConfigError, Unavailable."""
        path = f"{worker_path(config, worker)}{_ALIVE}"
        # Renamed once it is locked: a rescuer would take an unlocked one for a dead runner's.
        unnamed = f"{path}{_UNNAMED}"
        _check_folder(unnamed)
        fd = _open(unnamed)
        _children_too.add(fd)
        if not _flock(fd, path):
            message = f"{unnamed}: another process holds this worker's lock"
            raise ConfigError(message)
        _write(fd, unnamed, f"{os.getpid()} {process_start(os.getpid())} {boot_id()} {_namespace()}\n")
        os.rename(unnamed, path)  # noqa: PTH104 - `run` imports no pathlib
        return cls(worker, path, fd)

    def abandon(self) -> None:
        """Release the lock but leave the file: the next runner, here or elsewhere, rescues the jobs."""
        _children_too.discard(self._fd)
        os.close(self._fd)

    def end(self) -> None:
        """Remove the file and release the lock: nothing is left to rescue."""
        os.unlink(self.path)  # noqa: PTH108 - `run` imports no pathlib
        _children_too.discard(self._fd)
        os.close(self._fd)


class DeadWorker:
    """The liveness lock of a runner that may be dead, taken over so that one process rescues its jobs.

    `mine` is False while the runner or one of its children lives, or another process rescues.
    Without a file (`found` is False: another lock directory, or it was removed) only the end of the
    leases shows that the runner is dead.
    """

    def __init__(self, config: Config, worker: str) -> None:
        self.path = f"{worker_path(config, worker)}{_ALIVE}"
        self._doorbell = doorbell_path(config, worker)
        self.found = False
        self._runner: list[str] = []
        self.rebooted = self._is_elsewhere = False
        self._fd, self.mine = -1, True
        self._may_have_files = is_worker(worker)

    def __enter__(self) -> Self:
        if self._may_have_files:
            try:
                self._fd = _open(self.path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            except FileNotFoundError:
                return self
            self._lock()
        return self

    def _lock(self) -> None:
        self.found = True
        self.mine = _flock(self._fd, self.path)
        words = os.pread(self._fd, 128, 0).decode(errors="replace").split()
        self.rebooted = "".join(words[2:3]) != boot_id()
        self._runner = words[:2]
        self._is_elsewhere = words[3:4] not in ([], [_namespace()])

    @property
    def runner_is_dead(self) -> bool:
        """Whether the runner itself has ended, though a process that it forked still holds its lock.

        For a runner in another container only the lock shows this: its pid means another process here.
        """
        if len(self._runner) < 2 or self.rebooted or self._is_elsewhere:  # noqa: PLR2004
            return self.rebooted
        return process_start(int(self._runner[0])) != self._runner[1]

    def take(self) -> bool:
        """Try again to take the lock over; returns whether this process has it."""
        self.mine = self.mine or _flock(self._fd, self.path)
        return self.mine

    def forget(self) -> None:
        """Remove the liveness file: nothing is left to rescue. Another rescuer may have done so before."""
        for path in (self._doorbell, self.path) if self._may_have_files else ():
            try:
                os.unlink(path)  # noqa: PTH108
            except (FileNotFoundError, IsADirectoryError):
                continue

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._fd >= 0:
            os.close(self._fd)


def require_one_schema(config: Config, schema: str) -> None:
    """Raise ConfigError if the locks and journals here belong to a queue in another schema."""
    path = f"{folder(config)}/{digest(config.identity())}.schema"
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        fd = _open(path)
        known = os.pread(fd, 1024, 0).decode(errors="replace").strip()
    else:
        _write(fd, path, f"{schema}\n")
        known = schema
    os.close(fd)
    if known not in {schema, ""}:
        message = (
            f"{path}: the locks here are of the queue in schema {known} of this database, and this one is in schema"
            f" {schema}: name it in the URL, `?options=-csearch_path%3D{schema}`, or set another lock_dir"
        )
        raise ConfigError(message)


def any_runner_died(config: Config) -> bool:
    """Tell whether a runner on this host has died and its jobs aren't rescued yet."""
    ours = f"{digest(config.identity())}."
    try:
        names = os.listdir(config.lock_dir)  # noqa: PTH208
    except FileNotFoundError:
        return False
    workers = [name[len(ours) : -len(_ALIVE)] for name in names if name.startswith(ours) and name.endswith(_ALIVE)]
    return any(_is_dead(config, worker) for worker in workers)


def _is_dead(config: Config, worker: str) -> bool:
    with DeadWorker(config, worker) as dead:
        return dead.found and (dead.mine or dead.runner_is_dead)


def looks_dead(config: Config, worker: str) -> bool:
    """Tell whether this worker was on this host and has died, without taking its lock over."""
    if not is_worker(worker):
        return False
    try:
        with open(f"{worker_path(config, worker)}{_ALIVE}") as file:  # noqa: PTH123
            pid, started, boot, *namespace = file.read().split()
    except (OSError, ValueError):
        return False
    if namespace not in ([], [_namespace()]):
        return False
    return boot != boot_id() or process_start(int(pid)) != started


def process_start(pid: int) -> str:
    """Return the start time of a process, in ticks of the kernel: no two processes share pid and start time.

    Empty if there is no such process; "0" if the kernel shows only that there is one.
    """
    try:
        with open(f"/proc/{pid}/stat", errors="replace") as file:  # noqa: PTH123
            fields = file.read().rpartition(")")[2].split()
            return fields[19] if fields[0] != "Z" else ""  # a zombie is dead, reaped or not
    except (FileNotFoundError, ProcessLookupError):
        return "" if os.path.isdir("/proc/self") else _exists(pid)  # noqa: PTH112


def _namespace() -> str:
    """Return the kernel's number of this process's pid namespace (its container); 0 if there is none."""
    try:
        return str(os.stat("/proc/self/ns/pid").st_ino)  # noqa: PTH116
    except OSError:
        return "0"


def _exists(pid: int) -> str:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:  # it belongs to another user
        pass
    return "0"


def boot_id() -> str:
    """Return the kernel's id of this boot; empty if it has none."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:  # noqa: PTH123
            return file.read().strip()
    except OSError:
        return ""


def worker_path(config: Config, worker: str) -> str:
    """Return the path of a worker's files without their suffix; databases may share a lock directory."""
    return f"{folder(config)}/{digest(config.identity())}.{worker}"


def wake_folder(config: Config) -> str:
    """Return the directory of the sockets that wake this database's workers; it exists while some live."""
    return f"{config.lock_dir}/{digest(config.identity())}.wake"


def doorbell_path(config: Config, worker: str) -> str:
    """Return the path of a worker's socket; without the host's name, because such paths must be short."""
    return f"{wake_folder(config)}/{'-'.join(worker.rsplit('-', 2)[1:])}"


def make_folder(config: Config, path: str) -> None:
    """Make a directory beside the locks, for this user only, unless it exists."""
    folder(config)
    try:
        os.mkdir(path, 0o700)  # noqa: PTH102
    except FileExistsError:
        return


def remove_unnamed(config: Config) -> None:
    """Remove liveness files of runners that were killed before they renamed them to their final names."""
    ours = f"{digest(config.identity())}."
    try:
        names = os.listdir(config.lock_dir)  # noqa: PTH208
    except FileNotFoundError:  # no run and no worker has been there yet
        return
    for name in names:
        path = f"{config.lock_dir}/{name}"
        if name.startswith(ours) and name.endswith(f"{_ALIVE}{_UNNAMED}"):
            try:
                if time.time() - os.stat(path).st_mtime > _UNNAMED_FOR:  # noqa: PTH116
                    os.unlink(path)  # noqa: PTH108
            except FileNotFoundError:
                continue


def _check_folder(path: str) -> None:
    """Raise ConfigError if others can write to the directory: they could hold cronq's locks and forge its journals."""
    folder = os.path.dirname(path)  # noqa: PTH120
    if os.stat(folder).st_mode & _OTHERS_WRITE:  # noqa: PTH116
        message = f"{folder}: others can write there, hold cronq's locks and forge its journals; chmod go-w {folder}"
        raise ConfigError(message)


def makes_parents(config: Config) -> bool:
    """Tell whether the lock directory is cronq's own choice, not configured: then its parents are made, too."""
    return config.origins["database" if config.database_file() else "lock_dir"] == "default"


def folder(config: Config) -> str:
    """Return the lock directory, making it if it is missing. Raises ConfigError or Unavailable if it can't be used."""
    try:
        if makes_parents(config):
            os.makedirs(config.lock_dir, mode=0o700, exist_ok=True)  # noqa: PTH103
        elif not os.path.isdir(config.lock_dir):  # noqa: PTH112
            os.mkdir(config.lock_dir, 0o700)  # noqa: PTH102
    except FileExistsError:
        pass  # another process was first
    except FileNotFoundError:
        parent = os.path.dirname(config.lock_dir)  # noqa: PTH120
        message = f"{config.lock_dir}: the directory {parent} does not exist"
        raise Unavailable(message) from None
    except OSError as error:
        message = f"lock_dir {config.lock_dir}: {error.strerror}"
        raise ConfigError(message) from None
    return config.lock_dir


def _open(path: str, flags: int = _OPEN) -> int:
    try:
        return os.open(path, flags, 0o600)
    except FileNotFoundError:
        raise
    except OSError as error:
        way_out = "run cronq as the user that owns this lock file"
        if error.errno == errno.EROFS:
            way_out = "set lock_dir to a directory that can be written to"
        message = f"{path}: {error.strerror}; {way_out}"
        raise ConfigError(message) from None


def _write(fd: int, path: str, text: str) -> None:
    try:
        os.pwrite(fd, text.encode(), 0)
    except OSError as error:
        message = f"{path}: {error.strerror}; make room, or set lock_dir to a directory that has it"
        raise Unavailable(message) from None


def _flock(fd: int, path: str) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        message = f"{path} can't be locked: {error.strerror}; set lock_dir to a directory on a local file system"
        raise Unavailable(message) from None
    return True


def digest(text: str) -> str:
    """Return the eight hex digits that stand for a text in names of files."""
    # A checksum is enough: if two databases had the same one, their runs would only exclude each other.
    return f"{crc32(text.encode()):08x}"
