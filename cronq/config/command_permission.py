"""Decide whether the jobs of a database may be shell commands."""

from __future__ import annotations

import os
import stat

from cronq.config.loader import why_untrusted
from cronq.errors import ConfigError

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def require_commands(*, setting: bool | None, file: str | None) -> None:
    """Raise ConfigError with the reason if shell commands may not be jobs here.

    `setting` is the config's `commands`. If it is None, the database's file decides: commands are
    allowed if it belongs to this user and others can't write to it, or if it doesn't exist yet, and
    if others can't write to its directory. For a database on a server `file` is None: not allowed.
    """
    reason = _forbidden(setting=setting) if file is None or setting is not None else _unsafe(file)
    if reason:
        message = f"jobs may not be shell commands: {reason}; `commands = true` in the config allows them"
        raise ConfigError(message)


def is_known_here(*, setting: bool | None, file: str | None) -> bool:
    """Tell whether runs decide about commands as this user's `require_commands` does.

    Without a setting, the owner and mode of the database's file decide: if it belongs to another user, only that
    user's runs can tell.
    """
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


# A user who can write to the directory can put a write-ahead log beside the file, and SQLite
# would replay it into the database, with or without a sticky bit.
def _open_directory(path: str) -> str | None:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    return why_untrusted(path, status)
