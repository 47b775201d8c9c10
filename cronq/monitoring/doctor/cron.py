"""Check that cron starts runs, and that its files follow the rules without which it ignores them."""

from __future__ import annotations

import pwd
import re
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cronq.monitoring.doctor.finding import Finding, fine, problem, warning
from cronq.storage.run_history import last_run, run_is_on
from cronq.times import SECOND, Clock, span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cronq.monitoring.doctor.context import Installation

_LATE = 180.0
"""Seconds without a run after which cron has certainly missed two minutes."""

_LONG = 6 * 3600.0
_DAEMONS = ("cron", "crond", "cronie", "fcron", "bcron-sched", "systemd-cron")
_COMMAND = re.compile(r"^\s*(?:[\d*@]\S*)\s.*\bcronq\b")
_ENTRY = re.compile(r"^\s*(?:@\w+|(?:\S+\s+){4}\S+)\s+(?P<user>\S+)\s+\S")


def last_call(installation: Installation) -> Iterator[Finding]:
    """Check that runs begin each minute, or that workers run."""
    last = last_run(installation.config)
    age = None if last is None else max(0.0, (Clock().now() - last) / SECOND)
    if age is None:
        yield _missed("no run has begun on this host yet", installation)
    elif run_is_on(installation.config):
        yield _at_work(age)
    elif age <= _LATE:
        yield fine(f"the last run began {span(float(round(age)))} ago")
    else:
        text = f"the last run began {span(age)} ago: cron doesn't call any more{_without_a_daemon(installation)}"
        yield _missed(text, installation)


def last_ends(installation: Installation) -> Iterator[Finding]:
    """Check that the last runs succeeded."""
    for run in installation.stats.failing_runs if installation.stats is not None else ():
        which = f"`cronq run --queue {run.queues}`" if run.queues else "`cronq run`"
        ended = span(installation.stats.age(run.ended_at) or 0.0) if installation.stats is not None else ""
        yield problem(
            f"the last {which} on {run.host} ended {ended} ago with status {run.status}: {run.error}",
            "mend that, then call `cronq run`, which says whether it is mended",
        )


def _missed(text: str, installation: Installation) -> Finding:
    """Report missing runs: a problem only if no worker takes the jobs of a queue."""
    stats = installation.stats
    advice = f"see that cron runs, and that its user's crontab (`crontab -e`) has the line: * * * * * {_own_path()} run"
    if stats is None:
        return warning(text, advice)
    unserved = [queue for queue in stats.queues if queue not in stats.paused and not stats.listeners(queue)]
    if stats.workers and not unserved:
        return fine(f"{text}, but {len(stats.workers)} workers take jobs of every queue")
    due = [queue for queue in unserved if queue in stats.due_since]
    if not due:
        return warning(text, advice)
    where = f", which no worker takes: {', '.join(due)}" if stats.workers else ""
    return problem(f"{text}, and jobs are due{f' in queues{where}' if where else ''}", advice)


def _at_work(age: float) -> Finding:
    text = f"a run is at work, since {span(age)}"
    if age < _LONG:
        return fine(text)
    return warning(text, "`cronq ls --state running` shows what it does; `time_limit` ends what hangs")


def _without_a_daemon(installation: Installation) -> str:
    for folder in installation.places.processes.glob("[0-9]*"):
        try:
            if (folder / "comm").read_text().strip() in (*_DAEMONS, "systemd"):
                return ""
        except OSError:
            continue
    return " (no cron daemon runs on this host)"


def _own_path() -> str:
    own = Path(sys.argv[0])
    return str(own.resolve()) if own.name == "cronq" else "cronq"


def cron_files(installation: Installation) -> Iterator[Finding]:
    """Check that cron reads the files that name cronq: it ignores some without a message."""
    folder = installation.places.cron_files
    try:
        paths = sorted(path for path in folder.iterdir() if path.is_file())
    except OSError:
        return
    for path in paths:
        text = _text(path)
        if any(map(_COMMAND.match, text.splitlines())):
            found = [*_about_the_name(path), *_about_the_file(path), *_about_the_text(path, text)]
            yield from found or [fine(f"{path} keeps the rules of cron")]


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode(errors="replace")
    except OSError:
        return ""


def _about_the_name(path: Path) -> Iterator[Finding]:
    if not re.fullmatch(r"[A-Za-z0-9_-]+", path.name):
        yield warning(
            f"{path}: Debian's cron ignores a file with such a name, cronie runs it",
            f"mv {path} {path.parent}/cronq, or remove it",
        )


def _about_the_file(path: Path) -> Iterator[Finding]:
    status = path.stat()
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        yield problem(f"{path} can be written by others: cron ignores it", f"chmod 0644 {path}")
    if status.st_uid != 0:
        yield problem(f"{path} does not belong to root: cron ignores it", f"chown root:root {path}")
    if status.st_nlink > 1:
        yield problem(
            f"{path} has {status.st_nlink} hard links: cron ignores it",
            f"install -m 0644 {path} {path}.new && mv {path}.new {path}",
        )
    if status.st_mode & stat.S_IXUSR:
        yield warning(f"{path} is executable: cronie ignores it", f"chmod 0644 {path}")


def _about_the_text(path: Path, text: str) -> Iterator[Finding]:
    if not text.endswith("\n"):
        yield problem(f"{path} doesn't end with a newline: cron ignores all of it", f"echo >> {path}")
    if "\r" in text:
        yield problem(f"{path} has Windows line ends: cron hands them to the command", f"sed -i 's/\\r$//' {path}")
    for line in text.splitlines():
        entry = _ENTRY.match(line)
        if entry and _COMMAND.match(line):
            yield from _about_the_entry(path, line, entry["user"])


def _about_the_entry(path: Path, line: str, user: str) -> Iterator[Finding]:
    try:
        pwd.getpwnam(user)
    except KeyError:
        advice = "make the user, then `touch` the file: cron doesn't look again by itself"
        yield problem(f"{path}: there is no user {user}: cron ignores all of the file", advice)
    if re.search(r"(?<!\\)%", line):
        yield warning(f"{path}: a % ends the command, what follows becomes its input", "write \\% instead")


def mailer(installation: Installation) -> Iterator[Finding]:
    """Check that cron can mail the output of a run."""
    if last_run(installation.config) is None or any(path.exists() for path in installation.places.mailers):
        return
    yield warning(
        "there is no sendmail on this host: cron drops what a run prints",
        "install a mail program, set `notify_command`, or have `cronq health` watched",
    )
