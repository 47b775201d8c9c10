"""`cronq ls`: the jobs, newest first."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from cronq.commands import bulk
from cronq.commands import options as given
from cronq.commands.fast_options import positive

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from rich.console import RenderableType

    from cronq.model.job import Job
    from cronq.model.selection import Selection
    from cronq.render.console import Screen
    from cronq.render.live import LiveScreen
    from cronq.store import Store


HANDFUL = 100
"""Jobs that `ls` shows without --limit, elsewhere than on a terminal."""

_AT_LEAST = 5

_AROUND = 6
"""Lines of a terminal that the table needs beside its rows: those of the frame, what was typed, the prompt."""

_EVERY = 2.0
"""Seconds between two refreshes of `ls --watch`."""

_LS_EXAMPLE = """\
Example:

\b
  cronq ls --state failed,retrying
  cronq ls --queue mail --limit 0 | cut -f 1,3
  cronq ls --key mail-7 --json
  cronq ls --error ConnectionError --watch

Elsewhere than on a terminal: tab-separated lines without a heading, nothing cut.
Exit status: 0 done, 64 --watch without a terminal, 65 bad input, 69 database out of reach,
78 configuration.
"""

Limit = Annotated[
    str | None,
    typer.Option("--limit", metavar="N", help="Maximum number, 0 for all (what fits on a terminal, else 100)."),
]

Watch = Annotated[bool, typer.Option("--watch", help="Live view: refresh every two seconds; q quits.")]


@given.spread
def _ls(
    context: typer.Context,
    *,
    which: given.Which,
    limit: Limit = None,
    utc: given.Utc = False,
    watch: Watch = False,
    as_json: given.AsJson = False,
) -> None:
    """List jobs, newest first."""
    from cronq.execution import leftovers

    call = given.invocation(context)
    chosen = which.selection()
    number = _limit(limit)
    if watch and as_json:
        raise given.refuse("either --watch or --json", context)
    with call.store() as store:
        if watch:
            _watch(store, chosen, number, utc=utc)
            return
        jobs, more = _newest(store, chosen, number)
        found = [leftovers.with_its_process(call.config, job) for job in jobs]
        _print(found, store, utc=utc, as_json=as_json)
        if not jobs and not as_json:
            bulk.hint(call, store, chosen)
    if more and limit is None and not call.quiet:
        _tell_more(number)


def _limit(text: str | None) -> int | None:
    if text is None:
        return _screenful()
    return None if text == "0" else positive(text, what="--limit")


def _screenful() -> int:
    from cronq.render.text import on_terminal

    if not on_terminal():
        return HANDFUL
    from shutil import get_terminal_size

    return max(_AT_LEAST, get_terminal_size().lines - _AROUND)


def _newest(store: Store, selection: Selection, number: int | None) -> tuple[Sequence[Job], bool]:
    """The newest jobs, and whether there are more of them."""
    if number is None:
        return store.jobs.find(selection), False
    jobs = store.jobs.find(selection, limit=number + 1)
    return jobs[:number], len(jobs) > number


def _print(jobs: Sequence[Job], store: Store, *, utc: bool, as_json: bool) -> None:
    from cronq.render.text import document, on_terminal, write

    if as_json:
        write([document([job.to_json() for job in jobs])])
    elif not on_terminal():
        from cronq.render.tsv import job_line

        write(map(job_line, jobs))
    elif jobs:
        from cronq.render.console import Screen

        screen = Screen()
        screen.print(_table(jobs, screen, now=given.now(store), utc=utc))
    else:
        write(["no jobs"])


def _tell_more(number: int | None) -> None:
    from cronq.render.text import complain

    complain(f"only the newest {number} are shown; --limit 0 shows all")


def _table(jobs: Sequence[Job], screen: Screen, *, now: datetime, utc: bool) -> RenderableType:
    from cronq.render import jobs as drawn
    from cronq.render.relative_time import Ages

    return drawn.table(jobs, screen, Ages(now, exact=utc))


def _watch(store: Store, selection: Selection, number: int | None, *, utc: bool) -> None:
    from cronq.render.live import LiveScreen

    with LiveScreen.required("ls --watch") as live:
        frame = partial(_frame, live, store, selection, number, utc=utc)
        live.show(frame())
        while live.key(_EVERY) not in {"q", "esc"}:
            live.show(frame())


def _frame(live: LiveScreen, store: Store, selection: Selection, number: int | None, *, utc: bool) -> RenderableType:
    jobs, _ = _newest(store, selection, live.rows if number is None else min(number, live.rows))
    return _table(jobs, live.screen, now=given.now(store), utc=utc)


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("ls", epilog=_LS_EXAMPLE)(_ls)
