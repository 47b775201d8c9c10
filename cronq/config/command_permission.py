"""Decide whether the jobs of a database may be shell commands."""

from __future__ import annotations

import os
import stat

from cronq.config.loader import why_untrusted
from cronq.errors import ConfigError

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def require_commands(*, setting: bool | None, file: str | None) -> None:
    """Pass if shell commands may be jobs here, else raise a ConfigError that says why not.

    `setting` is the config's `commands`; None leaves it to the database's file. One that
    belongs to the running user and that others can't write may hold commands, and one that
    doesn't exist yet will be such a file; a database on a server (no path) may not.
    """
    reason = _forbidden(setting=setting) if file is None or setting is not None else _unsafe(file)
    if reason:
        message = f"jobs may not be shell commands: {reason}; `commands = true` in the config allows them"
        raise ConfigError(message)


def is_known_here(*, setting: bool | None, file: str | None) -> bool:
    """Tell whether this user knows what runs decide; without a setting, the owner of another user's file does."""
    if setting is not None or file is None:
        return True
    try:
        return os.stat(file).st_uid == os.geteuid()
    except OSError:
        return True


def _forbidden(*, setting: bool | None) -> str | None:
    if setting is None:
        return "others may write to a database on a server"
    return None if setting else "the config says `commands = false`"


def _unsafe(file: str) -> str | None:
    path = os.path.realpath(file)
    return _foreign_file(path) or _open_directory(os.path.dirname(path))


def _foreign_file(path: str) -> str | None:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    if status.st_uid != os.geteuid():
        return f"{path} belongs to another user"
    return f"others can write {path}" if status.st_mode & _OTHERS_WRITE else None


# Who can write to the directory can put a write-ahead log beside the file, and SQLite would
# replay it into the database, sticky bit or not.
def _open_directory(path: str) -> str | None:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    return why_untrusted(path, status)
