"""Name the owners of files, for errors, and the commands to run cronq as them."""

from __future__ import annotations

import os
import pwd
from pathlib import Path


def owner_of(path: str) -> str | None:
    """Name the owner of a file, and the way to run cronq as them; None if it is this user, or there is no file."""
    try:
        owner = Path(path).stat().st_uid
    except OSError:
        return None
    return None if owner == os.geteuid() else whose(owner, "…")


def whose(uid: int, command: str) -> str:
    """Name a user, and the way to run `cronq COMMAND` as that user."""
    user = user_of(uid)
    if user.endswith(f" {uid}"):
        return f"{user}: run `cronq {command}` as that user"
    name = user.removeprefix("the user ")
    switch = f"runuser -u {name} --" if os.geteuid() == 0 else f"sudo -u {name}"
    return f"{name}: {switch} cronq {command}"


def user_of(uid: int) -> str:
    """Return the name of a user by id, after "the user"; the id itself if it has no name."""
    try:
        return f"the user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"the user {uid}"
