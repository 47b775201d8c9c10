"""Read the environment variables by which systemd, or a traced program, passes something to this process."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping


def service_manager(environ: Mapping[str, str] | None = None) -> tuple[str | None, float | None]:
    """Return the address of the service manager's socket, and the seconds of its watchdog; each None without one."""
    environ = os.environ if environ is None else environ
    interval = environ.get("WATCHDOG_USEC", "")
    meant = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    watchdog = int(interval) / 1_000_000 if meant and interval.isdecimal() and int(interval) else None
    return environ.get("NOTIFY_SOCKET") or None, watchdog


def journal_stream(environ: Mapping[str, str] | None = None) -> str | None:
    """Return device and inode of systemd's journal, if this process prints to it."""
    return (os.environ if environ is None else environ).get("JOURNAL_STREAM")


def is_main_process(environ: Mapping[str, str] | None = None) -> bool:
    """Tell whether this is the main process of a systemd unit: at its end systemd kills its other processes."""
    return (os.environ if environ is None else environ).get("SYSTEMD_EXEC_PID") == str(os.getpid())


def handed_over(environ: MutableMapping[str, str] | None = None) -> int:
    """Return the number of sockets that systemd passes from descriptor 3 on; removes the variables, for jobs."""
    environ = os.environ if environ is None else environ
    pid, count = (environ.pop(f"LISTEN_{name}", "") for name in ("PID", "FDS"))
    environ.pop("LISTEN_FDNAMES", None)
    return int(count) if pid == str(os.getpid()) and count.isdigit() else 0


def trace_context(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the trace context of the program that started this one, by the names of HTTP headers."""
    environ = os.environ if environ is None else environ
    return {name: environ[name.upper()] for name in ("traceparent", "tracestate", "baggage") if name.upper() in environ}
