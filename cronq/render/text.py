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

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from cronq.model.job import Failure, Job

_LINE_BREAKS = {ord("\n"): "\\n", ord("\r"): "\\r", ord("\t"): "\\t", 0x2028: "\\u2028", 0x2029: "\\u2029"}
_CONTROLS = {
    **{code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if code not in (9, 10)},
    **{code: f"\\u{code:04x}" for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F)},
}
"""Escape sequences start with these; the second row turns the direction of writing."""

_JSON_CONTROLS = {code: f"\\u{code:04x}" for code in _CONTROLS if code >= 0x7F}  # noqa: PLR2004 - DEL


def safe(text: str) -> str:
    """The text with control characters spelt out; line feeds and tabs stay."""
    return text.translate(_CONTROLS)


def one_line(text: str) -> str:
    """The text on one line, control characters and line breaks spelt out."""
    return text.strip().translate(_CONTROLS | _LINE_BREAKS)


def complain(text: str) -> None:
    """One line on stderr."""
    if sys.stderr is not None:
        sys.stderr.write(f"cronq: {one_line(text)}\n")


def write(lines: Iterable[str]) -> None:
    """Lines on stdout, ahead of whatever goes to stderr next."""
    if sys.stdout is not None:
        sys.stdout.writelines(f"{line}\n" for line in lines)
        sys.stdout.flush()


def document(value: object) -> str:
    """The value as one JSON document; letters stay readable, control characters don't."""
    return json.dumps(value, ensure_ascii=False, indent=2).translate(_JSON_CONTROLS)


def compact(value: object) -> str:
    """The value as JSON on one line."""
    return json.dumps(value, ensure_ascii=False).translate(_JSON_CONTROLS)


def on_terminal() -> bool:
    """Whether a person reads stdout."""
    return sys.stdout is not None and sys.stdout.isatty()


def time(when: datetime | None) -> str:
    """The time as ISO 8601 in UTC to the second, empty when not known."""
    return "" if when is None else when.strftime("%Y-%m-%dT%H:%M:%SZ")


def span(seconds: float) -> str:
    """A length of time for people: `0.3 s`, `42 s`, `3 min`, `5 h`, `2 days`."""
    for size, unit in ((172800, "days"), (7200, "h"), (120, "min")):
        if seconds >= size:
            return f"{int(seconds // {'days': 86400, 'h': 3600, 'min': 60}[unit])} {unit}"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"  # noqa: PLR2004


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
