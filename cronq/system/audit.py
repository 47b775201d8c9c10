"""Record what a user changed by hand: a line in cronq's log and one in the system's log."""

from __future__ import annotations

import os
import pwd
import shlex
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from cronq.model.printable import one_line
from cronq.system.log import log

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def record(command: Sequence[str], number: int | None = None) -> None:
    """Log a command of this user and the number of jobs that it changed, such as `retry --queue mail`, 12.

    Logs nothing for 0 jobs.
    """
    if number == 0:
        return
    jobs = "" if number is None else " 1 job," if number == 1 else f" {number} jobs,"
    line = f"{shlex.join(command)}:{jobs} by {who()}"
    log.info("%s", line)
    _write_to_syslog(line)


_acting: ContextVar[str | None] = ContextVar("cronq_acting", default=None)


@contextmanager
def acting_as(name: str) -> Iterator[None]:
    """Record changes inside the block as made by this user of the web pages, not by the process's user."""
    mark = _acting.set(name)
    try:
        yield
    finally:
        _acting.reset(mark)


def who() -> str:
    """Return the acting user: `ann@web1`, or `root@web1 (ann logged in)` after su or sudo, or `ann@web1 (web)`."""
    viewer = _acting.get()
    if viewer is not None:
        return f"{viewer}@{os.uname().nodename} (web)"
    user = _name(os.geteuid())
    login = _login()
    logged_in = f" ({login} logged in)" if login not in ("", user) else ""
    return f"{user}@{os.uname().nodename}{logged_in}"


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _login() -> str:
    try:
        return os.getlogin()
    except OSError:  # no terminal: cron, a container
        return ""


def _write_to_syslog(line: str) -> None:
    """Write the line to syslog; without a syslog daemon nothing happens."""
    import syslog

    syslog.openlog("cronq", syslog.LOG_PID, syslog.LOG_USER)
    syslog.syslog(syslog.LOG_NOTICE, one_line(line))
