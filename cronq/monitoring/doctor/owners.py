"""Check that the crontabs, timers and workers of this host run this queue, and as its owner."""

from __future__ import annotations

import os
import pwd
import re
import shlex
from typing import TYPE_CHECKING, NamedTuple

from cronq.config.loader import SYSTEM_FILE
from cronq.monitoring.doctor.database import is_missing
from cronq.monitoring.doctor.finding import Finding, fine, problem
from cronq.monitoring.doctor.users import name_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cronq.monitoring.doctor.context import Installation

_WHEN = r"(?:@\w+|(?:[\d*][\d*,/a-zA-Z-]*\s+){4}[\d*][\d*,/a-zA-Z-]*)"
_IN_SYSTEM = re.compile(rf"^\s*{_WHEN}\s+(?P<user>\S+)\s+(?P<command>.*\bcronq\b.*\brun\b.*)$")
_IN_OWN = re.compile(rf"^\s*{_WHEN}\s+(?P<command>.*\bcronq\b.*\brun\b.*)$")
_UNIT_USER = re.compile(r"^User=(\S+)$", re.MULTILINE)
_CHOSEN = re.compile(r"CRONQ_(?:CONFIG|DATABASE)=|--config\b|--db\b")
_CONFIG = re.compile(r"(?:CRONQ_CONFIG=|--config[= ])\"?([^\s\"]+)")


class _Caller(NamedTuple):
    """A line or a unit that calls cronq."""

    place: str
    user: str
    text: str
    """The text that may name its configuration."""


def callers(installation: Installation) -> Iterator[Finding]:
    """Check that crontabs, units and workers run cronq as the owner of the database, and on this database."""
    if installation.file is None:
        return
    found = [*_crontabs(installation), *_units(installation)]
    if installation.config.origins["database"] == "default":
        yield from _strangers(installation, found)
    if is_missing(installation.file) or not os.access(installation.file.parent, os.X_OK):
        return
    owner = name_of(installation.file.stat().st_uid)
    meant = [one for one in found if _means(one, installation)]
    for one in meant:
        if one.user != owner:
            yield problem(
                f"{one.place} calls cronq as {one.user}, but {installation.file} belongs to {owner}:"
                " its runs end with 78",
                f"name the user {owner} there, or remove it",
            )
    yield from _workers(installation, owner)
    if meant and all(one.user == owner for one in meant):
        yield fine(f"{', '.join(one.place for one in meant)}: the user is {owner}, the owner of the queue")


def _strangers(installation: Installation, found: list[_Caller]) -> Iterator[Finding]:
    """Report a problem if all callers run the queue of another user: without a configuration each user has one."""
    me = name_of(os.geteuid())
    others = [one for one in found if one.user != me and not _CHOSEN.search(one.text)]
    if others and len(others) == len(found):
        yield problem(
            f"{others[0].place} calls cronq as {others[0].user}, who has another queue: no configuration names one for"
            f" all, and jobs in {installation.file} are run by no cron",
            f"write {SYSTEM_FILE} with `database = …` (`cronq print-config cron --into /` does), or call cronq as"
            f" {others[0].user}",
        )


def _means(one: _Caller, installation: Installation) -> bool:
    """Tell by its text and its user whether a caller works on this queue."""
    named = _CONFIG.search(one.text)
    if named is not None:
        return named[1] == installation.config.file
    if _CHOSEN.search(one.text) or installation.config.file != SYSTEM_FILE:
        return one.user == name_of(os.geteuid()) and not _CHOSEN.search(one.text)
    return not _has_own_configuration(one.user)


def _has_own_configuration(user: str) -> bool:
    try:
        return os.path.exists(f"{pwd.getpwnam(user).pw_dir}/.config/cronq/cronq.toml")  # noqa: PTH110 - no OSError
    except KeyError:
        return False


def _crontabs(installation: Installation) -> Iterator[_Caller]:
    for path in _files(installation.places.cron_files):
        text = _text(path)
        settings = "\n".join(line for line in text.splitlines() if re.match(r"\s*CRONQ_\w+\s*=", line))
        for line in text.splitlines():
            entry = _IN_SYSTEM.match(line)
            if entry:
                yield _Caller(str(path), entry["user"], f"{settings}\n{entry['command']}")
    for path in _files(installation.places.crontabs):
        text = _text(path)
        if any(map(_IN_OWN.match, text.splitlines())):
            yield _Caller(f"the crontab of {path.name}", path.name, text)


def _units(installation: Installation) -> Iterator[_Caller]:
    for path in _files(installation.places.units):
        text = _text(path) if path.name.startswith("cronq") and path.suffix == ".service" else ""
        user = _UNIT_USER.search(text)
        if text:
            yield _Caller(str(path), user[1] if user else "root", text)


def _workers(installation: Installation, owner: str) -> Iterator[Finding]:
    """Find registered workers on this host that run as another user than the owner."""
    for worker in installation.stats.workers if installation.stats is not None else ():
        if worker.host != os.uname().nodename:
            continue
        try:
            user = name_of((installation.places.processes / str(worker.pid)).stat().st_uid)
        except OSError:
            continue
        if user != owner:
            yield problem(
                f"{worker.kind} {worker.name} (process {worker.pid}) runs as {user}, but {installation.file} belongs to"
                f" {owner}",
                f"end it (kill {worker.pid}), and start it as {shlex.quote(owner)}",
            )


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_file())
    except OSError:
        return []


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode(errors="replace")
    except OSError:
        return ""
