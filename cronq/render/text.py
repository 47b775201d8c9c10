"""What people and scripts see: lines and JSON here, tables, pages and screens in the modules beside.

A terminal gets tables and colour through rich, which is imported only then; everything
else gets whole, uncut lines. Nothing that a task or a caller supplied reaches a terminal
with its control characters alive.
"""

from __future__ import annotations

import json
import shlex
import sys
from typing import TYPE_CHECKING

from cronq.model.job import COMMAND_TASK
from cronq.model.printable import one_line, safe, safe_json

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from cronq.model.job import Failure, Job


def complain(text: str) -> None:
    """One line on stderr."""
    if sys.stderr is not None:
        sys.stderr.write(f"cronq: {one_line(text)}\n")


def write(lines: Iterable[str]) -> None:
    """Lines on stdout, ahead of what goes to stderr next; a text of several lines keeps them."""
    if sys.stdout is not None:
        sys.stdout.writelines(f"{safe(line)}\n" for line in lines)
        sys.stdout.flush()


def document(value: object) -> str:
    """The value as one JSON document; letters stay readable, control characters don't."""
    return safe_json(json.dumps(value, ensure_ascii=False, indent=2))


def compact(value: object) -> str:
    """The value as JSON on one line."""
    return safe_json(json.dumps(value, ensure_ascii=False))


def on_terminal() -> bool:
    """Whether a person reads stdout."""
    return sys.stdout is not None and sys.stdout.isatty()


def time(when: datetime | None) -> str:
    """The time as ISO 8601 in UTC to the second, empty when not known."""
    return "" if when is None else when.strftime("%Y-%m-%dT%H:%M:%SZ")


def local_time(when: datetime | None) -> str:
    """The time by this host's clock to the second, empty when not known."""
    return "" if when is None else when.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def work(job: Job) -> str:
    """What the job does: the command as it was given, or the arguments as JSON."""
    if job.task == COMMAND_TASK:
        return job.command if isinstance(job.command, str) else compact(job.command)
    return compact(job.args) if job.args else ""


def short_work(job: Job) -> str:
    """The same for a glance: arguments as `to=ann@example.org n=3`, their names without quotes."""
    if job.task == COMMAND_TASK:
        return job.command if isinstance(job.command, str) else shlex.join(job.command or ())
    return " ".join(f"{name}={_short(value)}" for name, value in (job.args or {}).items())


def _short(value: object) -> str:
    return value if isinstance(value, str) and value else compact(value)


def last_line(error: Failure | None) -> str:
    """`ValueError: what went wrong`: what a traceback ends with; empty without an error."""
    if error is None:
        return ""
    lines = [line for line in error.message.splitlines() if line.strip()]
    return f"{error.kind}: {lines[-1].strip()}" if lines else error.kind
