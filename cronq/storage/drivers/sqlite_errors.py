"""Write messages for errors of SQLite: what is wrong with the file, and what to do."""

from __future__ import annotations

import os
import sqlite3

from cronq.config.owners import owner_of
from cronq.storage.drivers.database import GONE

_ROOM = 1 << 17
"""Bytes that SQLite needs beside a database to open it."""

_ADVICE = {
    sqlite3.SQLITE_CORRUPT: "the file is damaged: restore a backup, or try `sqlite3 FILE .recover`",
    sqlite3.SQLITE_NOTADB: "the file is not a SQLite database",
    sqlite3.SQLITE_FULL: "the disk is full: nothing was written",
    sqlite3.SQLITE_BUSY: "another process has kept the database locked for too long",
    sqlite3.SQLITE_IOERR: "the disk or file system failed",
}


def is_full(folder: str) -> bool:
    """Tell whether a folder's disk is full: SQLite reports that as an I/O error when it makes the log's index."""
    try:
        disk = os.statvfs(folder)
    except OSError:
        return False
    return disk.f_bavail * disk.f_frsize < _ROOM


def _is_read_only(folder: str) -> bool:
    try:
        return bool(os.statvfs(folder).f_flag & os.ST_RDONLY)
    except OSError:
        return False


def explain(path: str, error: sqlite3.Error | None) -> str:
    """Return what is wrong with the file, and what to do about it.

    Without an error, the reason is that this user may not write the file.
    """
    code = sqlite3.SQLITE_READONLY if error is None else getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM}:
        return _not_allowed(path, reading=code == sqlite3.SQLITE_CANTOPEN)
    if code == sqlite3.SQLITE_IOERR and is_full(os.path.dirname(path)):  # noqa: PTH120 - as above
        code = sqlite3.SQLITE_FULL
    advice = GONE if str(error).startswith("no such table") else _ADVICE.get(code)
    return f"{advice} ({error})" if advice else str(error)


def _not_allowed(path: str, *, reading: bool) -> str:
    """Return why this user may not open (`reading`) or write the file.

    It names the owner, and doesn't advise to give the file to another user, which would end the owner's queue.
    """
    folder = os.path.dirname(path)  # noqa: PTH120 - as above
    if _is_read_only(folder):
        return f"the file system of {folder} is mounted read-only"
    if reading and not os.path.isdir(folder):  # noqa: PTH112 - as above
        return f"the directory {folder} does not exist"
    act = "opened" if reading else "written"
    owner = owner_of(path) or owner_of(folder)
    if owner is None:
        return f"can't be {act} by this user: check the mode of the file and its directory"
    return f"can't be {act} by this user, the queue belongs to {owner}"
