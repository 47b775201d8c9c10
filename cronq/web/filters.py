"""Write times, numbers and texts of jobs for pages; control characters in texts are escaped."""

from __future__ import annotations

import re
import shlex
from datetime import datetime
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from cronq.model.job import FUTURE
from cronq.model.printable import one_line, safe
from cronq.model.states import SIGNS
from cronq.render import limits
from cronq.render.text import compact, time
from cronq.times import SECOND, exact_span, span, to_datetime
from cronq.web import charts

if TYPE_CHECKING:
    from flask import Flask

    from cronq.storage.browsing import JobRow

GLYPHS = {
    **SIGNS,
    "paused": "‖",
    "dead": "✕",
    "stopped": "■",
    "ending": "↓",
    "late": "!",
    "active": "✓",
    "open": "◌",
    "full": "■",
    "skipped": "⊘",
    "cleared": "\u2013",
}
"""A shape for each state of jobs, queues and others, so that colour isn't needed to tell them apart."""


NONE = Markup('<span class="none">\u2013</span>')
"""The content of a table's cell without a value; on a phone such a cell isn't shown."""

_QUOTED = re.compile(r"`(cronq [^`]+)`")
"""A command in backticks. Only those of cronq: a job's error must not look like advice."""


def register(app: Flask) -> None:
    """Add the filters to the templates."""
    app.jinja_env.filters.update(
        age=age, until=until, line=lambda text: one_line(str(text)), text=lambda text: safe(str(text)),
        cell=cell, prose=prose, command_words=command_words, span=span, exact=exact, number=number, memory=memory,
        pretty=pretty, moment=moment, when_of=when, quoted=shlex.quote,
        allows=limits.allows, limit_words=limits.words, next_place=limits.next_place,
    )  # fmt: skip
    app.jinja_env.globals.update(GLYPHS=GLYPHS, NONE=NONE, bars=charts.bars, words=charts.words, steps=charts.steps)


def _as_datetime(value: int | datetime) -> datetime:
    return value if isinstance(value, datetime) else to_datetime(value)


def _element(value: int | datetime, shown: str) -> Markup:
    stamp = time(_as_datetime(value))
    return Markup('<time datetime="{0}" title="{0}">{1}</time>').format(stamp, shown)


def age(value: int | datetime | None, now: int) -> Markup | str:
    """Write `3m ago`, with the exact time as its title; `in 3m` for a later time."""
    if value is None:
        return ""
    seconds = (to_datetime(now) - _as_datetime(value)).total_seconds()
    return _element(value, f"{span(float(round(seconds)))} ago" if seconds >= 0 else until_text(-seconds))


def until(value: int | datetime | None, now: int) -> Markup | str:
    """Write `in 3m`, or `now` for a time that has passed."""
    if value is None:
        return ""
    return _element(value, until_text((_as_datetime(value) - to_datetime(now)).total_seconds()))


def until_text(seconds: float) -> str:
    """Write `in 3m` or `now`."""
    return f"in {span(float(round(seconds)))}" if seconds > 0 else "now"


def moment(value: int | datetime | None) -> Markup | str:
    """Write the time in UTC."""
    return "" if value is None else _element(value, time(_as_datetime(value)).replace("T", " ").replace("Z", " UTC"))


def when(job: JobRow, now: int) -> Markup | str:
    """Write the time that matters for a job's state: it ended `3m ago`, is due `in 2m`, or has been in it `for 9s`."""
    if job.finished_at is not None:
        return age(job.finished_at, now)
    if job.state in frozenset[str](FUTURE):
        return until(job.available_at, now)
    since = job.started_at if job.state == "running" and job.started_at is not None else job.available_at
    return _element(since, f"for {span(float(max(0, now - since) // SECOND))}")


def exact(seconds: float) -> str:
    """Write a duration in seconds exactly, in one unit as in the configuration: `90s`, `5m`."""
    return exact_span(round(seconds * SECOND))


def number(value: int) -> str:
    """Write a number with separators."""
    return f"{value:,}"


def cell(value: int | None) -> str:
    """Write a number in a table; a dash for 0 or None."""
    return number(value) if value else NONE


def prose(text: str) -> Markup:
    """Write a sentence on one line, with cronq's commands, which are in backticks, as code."""
    return Markup(_QUOTED.sub(r"<code>\1</code>", str(escape(one_line(text)))))


def command_words(text: str) -> Markup:
    """Write a command, whose words with hyphens, such as `--queue`, aren't broken at the end of a line."""
    words = one_line(text).split(" ")
    return Markup(" ").join(Markup('<span class="word">{}</span>').format(one) if "-" in one else one for one in words)


def memory(value: int | None) -> str:
    """Write bytes as MiB."""
    return "" if value is None else f"{value / 2**20:,.0f} MiB"


def pretty(value: Any) -> str:
    """Write a JSON value on one line, or on several if it is long."""
    from cronq.render.text import document

    short = compact(value)
    return short if len(short) <= 100 else document(value)  # noqa: PLR2004
