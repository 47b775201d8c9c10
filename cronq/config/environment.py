"""What systemd and cron tell a process through its environment."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping


def service_manager(environ: Mapping[str, str] | None = None) -> tuple[str | None, float | None]:
    """Where a service manager wants to hear of this process, and after how many silent seconds it ends it."""
    environ = os.environ if environ is None else environ
    interval = environ.get("WATCHDOG_USEC", "")
    meant = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    watchdog = int(interval) / 1_000_000 if meant and interval.isdecimal() and int(interval) else None
    return environ.get("NOTIFY_SOCKET") or None, watchdog


def journal_stream(environ: Mapping[str, str] | None = None) -> str | None:
    """Device and inode of systemd's journal, where it takes what this process prints."""
    return (os.environ if environ is None else environ).get("JOURNAL_STREAM")


def is_main_process(environ: Mapping[str, str] | None = None) -> bool:
    """Whether systemd started this very process for a unit: with its end, all that it left behind is killed."""
    return (os.environ if environ is None else environ).get("SYSTEMD_EXEC_PID") == str(os.getpid())


def handed_over(environ: MutableMapping[str, str] | None = None) -> int:
    """How many sockets systemd hands over, from descriptor 3 on; what says so is removed, or jobs would inherit it."""
    environ = os.environ if environ is None else environ
    pid, count = (environ.pop(f"LISTEN_{name}", "") for name in ("PID", "FDS"))
    environ.pop("LISTEN_FDNAMES", None)
    return int(count) if pid == str(os.getpid()) and count.isdigit() else 0
