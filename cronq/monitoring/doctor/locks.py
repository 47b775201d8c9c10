"""Check the owner and mode of the lock directory and its files."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from cronq.locks import makes_parents
from cronq.monitoring.doctor.finding import Finding, fine, problem, warning
from cronq.monitoring.doctor.users import name_of
from cronq.storage.drivers.opening import require_sight

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cronq.monitoring.doctor.context import Installation

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_SHOWN = 3


def lock_folder(installation: Installation) -> Iterator[Finding]:
    """Check that this user can use the lock directory, and no other user can."""
    folder = Path(installation.config.lock_dir)
    require_sight(str(folder))
    if not folder.exists():
        yield _to_be_made(folder, parents=makes_parents(installation.config))
        return
    status = folder.stat()
    if not folder.is_dir():
        yield problem(f"{folder} is not a directory", "remove it, or set `lock_dir`")
    elif not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        yield _out_of_reach(folder, status.st_uid)
    elif status.st_mode & _OTHERS_WRITE:
        yield problem(f"others can write to {folder} and hold cronq's locks for ever", f"chmod 0700 {folder}")
    elif status.st_uid != os.geteuid():
        advice = f"call cronq as {name_of(status.st_uid)}: what you do as another user may leave files it can't open"
        yield warning(f"{folder} belongs to {name_of(status.st_uid)}, you are {name_of(os.geteuid())}", advice)
    else:
        yield fine(f"{folder} belongs to {name_of(status.st_uid)} alone")


def _out_of_reach(folder: Path, owner: int) -> Finding:
    if owner == os.geteuid():
        return problem(f"{folder} can't be used by its owner {name_of(owner)}", f"chmod 0700 {folder}")
    text = f"{folder} belongs to {name_of(owner)}: {name_of(os.geteuid())} can't see who is at work"
    return warning(text, f"call doctor as {name_of(owner)}, who runs this queue")


def _to_be_made(folder: Path, *, parents: bool) -> Finding:
    above = next(path for path in folder.parents if path.exists() or not parents)
    if os.access(above, os.W_OK | os.X_OK):
        return fine(f"{folder} will be made by the first run")
    user = name_of(folder.parent.stat().st_uid if folder.parent.exists() else os.geteuid())
    text = f"{folder} does not exist and can't be made by {name_of(os.geteuid())}"
    return problem(text, f"call cronq as the user that runs this queue, or install -d -m 0700 -o {user} {folder}")


def lock_files(installation: Installation) -> Iterator[Finding]:
    """Check that the directory's owner can open all files, and no other user can."""
    folder = Path(installation.config.lock_dir)
    require_sight(str(folder))
    if not folder.is_dir() or not os.access(folder, os.R_OK | os.X_OK):
        return
    owner = folder.stat().st_uid
    found = []
    for path in sorted(folder.iterdir()):
        with suppress(FileNotFoundError):  # a run has just removed it
            found.append((path, path.lstat()))
    foreign = [path for path, status in found if status.st_uid != owner]
    if foreign:
        whose = name_of(owner)
        yield problem(
            f"{_names(foreign)} in {folder}: not {whose}'s, so that a run of {whose} ends with an error",
            f"chown -R {whose} {folder}; cronq was run as another user, perhaps root",
        )
    shared = [path for path, status in found if status.st_mode & _OTHERS and not stat.S_ISLNK(status.st_mode)]
    if shared:
        advice = f"chmod -R go= {folder}"
        yield warning(f"{_names(shared)} in {folder}: others can open it, and who can read a lock can hold it", advice)


def _names(paths: list[Path]) -> str:
    more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    return ", ".join(path.name for path in paths[:_SHOWN]) + more
