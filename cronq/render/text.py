"""Write lines and JSON; other modules of this package write tables, pages and screens.

A terminal gets tables and colours through rich, which is imported only then; pipes and files get
uncut lines. Control characters in texts of tasks and callers are escaped.
"""

from __future__ import annotations

import json
import sys
from textwrap import indent
from typing import TYPE_CHECKING

from cronq.model.job import COMMAND_TASK
from cronq.model.printable import one_line, safe, safe_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from cronq.model.job import Failure, Job


def complain(text: str) -> None:
    """Write one line to stderr."""
    if sys.stderr is not None:
        sys.stderr.write(f"cronq: {one_line(text)}\n")


def write(lines: Iterable[str]) -> None:
    """Write lines to stdout and flush them before anything goes to stderr; line feeds in a text stay."""
    if sys.stdout is not None:
        sys.stdout.writelines(f"{safe(line)}\n" for line in lines)
        sys.stdout.flush()


def document(value: object) -> str:
    """Write the value as one JSON document; only control characters are escaped."""
    return safe_json(json.dumps(value, ensure_ascii=False, indent=2))


def document_with(values: dict[str, object], key: str, items: Iterable[object]) -> Iterator[str]:
    """Yield the parts of one JSON document: the values, and after them a list under `key`, a part for each item."""
    start, end = document({**values, key: []}).rsplit("[]", 1)
    last = None
    for item in items:
        yield f"{start}[" if last is None else f"{last},"
        last = indent(document(item), "    ")
    yield f"{start}[]{end}" if last is None else f"{last}\n  ]{end}"


def compact(value: object) -> str:
    """Write the value as JSON on one line."""
    return safe_json(json.dumps(value, ensure_ascii=False))


def plain(value: object) -> str:
    """Write a text as it is, anything else as JSON on one line."""
    return value if isinstance(value, str) else compact(value)


def on_terminal() -> bool:
    """Tell whether stdout is a terminal."""
    return sys.stdout is not None and sys.stdout.isatty()


def time(when: datetime | None) -> str:
    """Write the time as ISO 8601 in UTC to the second, empty if unknown."""
    return "" if when is None else when.strftime("%Y-%m-%dT%H:%M:%SZ")


def local_time(when: datetime | None) -> str:
    """Write the time in this host's zone to the second, empty if unknown."""
    return "" if when is None else when.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def work(job: Job) -> str:
    """Return the job's command, or its arguments as JSON."""
    if job.task == COMMAND_TASK:
        return job.command if isinstance(job.command, str) else compact(job.command)
    return compact(job.args) if job.args else ""


def short_work(job: Job) -> str:
    """Return the job's command, or its arguments as `to=ann@example.org n=3`."""
    if job.task == COMMAND_TASK:
        if isinstance(job.command, str):
            return job.command
        import shlex  # here, not above: a run doesn't need it

        return shlex.join(job.command or ())
    return " ".join(f"{name}={_short(value)}" for name, value in (job.args or {}).items())


def _short(value: object) -> str:
    return value if isinstance(value, str) and value else compact(value)


def last_line(error: Failure | None) -> str:
    """Write an error as the last line of a traceback, `ValueError: message`; empty without an error."""
    if error is None:
        return ""
    lines = [line for line in error.message.splitlines() if line.strip()]
    return f"{error.kind}: {lines[-1].strip()}" if lines else error.kind
