"""Who did what by hand: a line in cronq's log and in the system's."""

from __future__ import annotations

import os
import pwd
import shlex
from typing import TYPE_CHECKING

from cronq.model.printable import one_line
from cronq.system.log import log

if TYPE_CHECKING:
    from collections.abc import Sequence


def record(command: Sequence[str], number: int | None = None) -> None:
    """Log that this user gave a command, and how many jobs it changed: `retry --queue mail`, 12. Of none, nothing."""
    if number == 0:
        return
    jobs = "" if number is None else " 1 job," if number == 1 else f" {number} jobs,"
    line = f"{shlex.join(command)}:{jobs} by {who()}"
    log.info("%s", line)
    _tell_the_system(line)


def who() -> str:
    """`ann@web1`, or `root@web1 (ann logged in)` where somebody has become somebody else."""
    user = _name(os.geteuid())
    login = _login()
    behind = f" ({login} logged in)" if login not in ("", user) else ""
    return f"{user}@{os.uname().nodename}{behind}"


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


def _tell_the_system(line: str) -> None:
    """Without a syslog daemon this is silent."""
    import syslog

    syslog.openlog("cronq", syslog.LOG_PID, syslog.LOG_USER)
    syslog.syslog(syslog.LOG_NOTICE, one_line(line))
