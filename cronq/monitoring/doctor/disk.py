"""Check the disks: file system and write-ahead log of a SQLite file, room for database, journals and log."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cronq.monitoring.doctor.finding import Finding, fine, problem, warning
from cronq.storage.drivers.opening import require_sight

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cronq.monitoring.doctor.context import Installation

_NETWORK = (
    "nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "9p", "ceph", "glusterfs", "lustre", "gfs2", "ocfs2",
    "beegfs", "pvfs2", "fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.s3fs", "fuse.rclone", "fuse.davfs",
)  # fmt: skip
_MEMORY = ("tmpfs", "ramfs")
_LARGE_LOG = 256 << 20
_TIGHT, _FULL = 200 << 20, 20 << 20


def file_system(installation: Installation) -> Iterator[Finding]:
    """Check that a SQLite file lies on a file system with working locks that survives a restart."""
    if installation.file is None:
        return
    kind = mounted(installation.file, installation.places.mounts)
    if kind in _NETWORK:
        advice = "move it to a local disk; for several hosts use MariaDB, MySQL or PostgreSQL (docs/scaling.md)"
        yield problem(f"{installation.file} lies on {kind}, a network file system: SQLite is not safe there", advice)
    elif kind in _MEMORY:
        yield warning(f"{installation.file} lies in memory ({kind}): a restart loses every job", "move it to a disk")
    else:
        yield fine(f"{installation.file} lies on a local disk{f' ({kind})' if kind else ''}")


def mounted(path: Path, mounts: Path) -> str | None:
    """Return the kind of the path's file system by the list of mounts; None if it isn't known."""
    try:
        lines = mounts.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return None
    place = f"{os.path.realpath(path)}/"
    found = ("", None)
    for line in lines:
        point, kind = line.split(" ")[1:3]
        point = point.replace("\\040", " ")
        if place.startswith(f"{point.rstrip('/')}/") and len(point) >= len(found[0]):
            found = (point, kind)  # type: ignore[assignment]
    return found[1]


def write_ahead_log(installation: Installation) -> Iterator[Finding]:
    """Check that the write-ahead log is used and emptied from time to time."""
    if installation.file is None or installation.database is None or installation.config.sqlite_path() is None:
        return
    mode = installation.database.query("PRAGMA journal_mode")[0][0]
    if mode != "wal" and installation.stats is not None:
        yield warning(
            f"the journal mode is {mode}: readers and writers wait for each other",
            f"sqlite3 {installation.file} 'PRAGMA journal_mode = WAL'",
        )
    log = installation.file.with_name(f"{installation.file.name}-wal")
    size = log.stat().st_size if log.exists() else 0
    if size > _LARGE_LOG:
        yield warning(
            f"{log} has grown to {size >> 20} MiB: some process keeps an old view of the database open, or did so",
            f"end a process that reads for long (`fuser -v {installation.file}` lists all that have it open), and empty"
            f" the log: sqlite3 {installation.file} 'PRAGMA wal_checkpoint(TRUNCATE)'",
        )


def space(installation: Installation) -> Iterator[Finding]:
    """Check that there is room for more jobs, for what running jobs print and for the log."""
    measured: set[int] = set()
    for what, folder, need in _places(installation):
        disk = os.statvfs(folder)
        device = folder.stat().st_dev
        if device in measured:
            continue
        measured.add(device)
        free = disk.f_bavail * disk.f_frsize
        share = f"{free >> 20} MiB are free on the disk of {folder}, for {what}"
        if free < need.least:
            yield problem(f"only {share}", need.advice)
        elif free < need.enough:
            yield warning(f"only {share}", need.advice)
        else:
            yield fine(share)
        if disk.f_files and not disk.f_favail:
            yield problem(f"the disk of {folder} has no inode left", "remove files")


class _Need(NamedTuple):
    """Bytes that should be free, and what to do where they aren't."""

    least: int
    enough: int
    advice: str


_FOR_JOBS = _Need(_FULL, _TIGHT, "make room; `cronq clear-finished` removes old jobs, `retention` does so in each run")
_FOR_JOURNALS = _Need(2 << 20, 32 << 20, "make room, or set `lock_dir` to a directory of this user on a larger disk")
_FOR_LOG = _Need(_FULL, _TIGHT, "make room; `cronq print-config logrotate` prints a configuration that limits the log")


def _places(installation: Installation) -> Iterator[tuple[str, Path, _Need]]:
    """Yield what cronq writes, the directory and the bytes needed.

    A directory that doesn't exist yet is replaced by the nearest one above it.
    """
    config = installation.config
    if installation.file is not None:
        yield "the database", _existing(installation.file.parent), _FOR_JOBS
    yield "journals of running jobs", _existing(Path(config.lock_dir)), _FOR_JOURNALS
    if config.log is not None and config.log.startswith("/"):
        yield "the log", _existing(Path(config.log).parent), _FOR_LOG


def _existing(folder: Path) -> Path:
    require_sight(str(folder))
    return next(path for path in (folder, *folder.parents) if path.is_dir())


def lock_file_system(installation: Installation) -> Iterator[Finding]:
    """Check that hosts which use a server's queue don't share the lock directory by a network file system."""
    kind = None if installation.file else mounted(Path(installation.config.lock_dir), installation.places.mounts)
    if kind in _NETWORK:
        text = f"the lock directory {installation.config.lock_dir} lies on {kind}, a network file system"
        yield warning(
            f"{text}: hosts that share it take each other's runs for their own", "set `lock_dir` to a local one"
        )
