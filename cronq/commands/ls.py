"""`cronq ls`: the jobs, newest first."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from cronq.commands import bulk
from cronq.commands import options as given
from cronq.commands.fast_options import positive
from cronq.errors import InvalidInput
from cronq.model.job import State
from cronq.model.selection import NEWEST_FIRST, SORTS
from cronq.render.relative_time import TimeStyle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from cronq.commands import Invocation
    from cronq.model.job import Job
    from cronq.model.selection import Selection
    from cronq.render.console import Screen
    from cronq.render.live import LiveScreen
    from cronq.render.relative_time import Ages
    from cronq.store import Store


class _View(NamedTuple):
    """The selection of the jobs that are shown, their order, their maximum number, and the style of their times."""

    selection: Selection
    sort: str
    number: int | None
    style: TimeStyle


HANDFUL = 100
"""Maximum number of jobs that `ls` shows without --limit if stdout is no terminal."""

_AT_LEAST = 5

_AROUND = 10
"""Lines of a terminal that the table needs beside its rows: its frame, three notices, what was typed, the prompt."""

_COUNTED = 100_000
"""Maximum number to which the notices count jobs."""

_LOOKED_FOR = (State.FAILED, State.RETRYING, State.RUNNING)
"""The states that users of `ls` mostly look for: a notice counts their jobs that aren't shown."""

_DUE = frozenset({State.READY, State.BLOCKED})

_EVERY = 2.0
"""Seconds between two refreshes of `ls --watch`."""

_LS_EXAMPLE = """\
Example:

\b
  cronq ls --state failed,retrying
  cronq ls --queue mail --limit 0 | cut -f 1,3
  cronq ls --key mail-7 --json
  cronq ls --queue 'mail*' --since 02:30 --search example.org --sort -duration
  cronq ls --error ConnectionError --watch

Elsewhere than on a terminal: tab-separated lines without a heading, nothing cut.
Exit status: 0 done, 64 --watch without a terminal, 65 bad input, 69 database out of reach,
78 configuration.
"""

Limit = Annotated[
    str | None,
    typer.Option("--limit", metavar="N", help="Maximum number, 0 for all (what fits on a terminal, else 100)."),
]

Sort = Annotated[
    str,
    typer.Option("--sort", metavar="KEY", help=f"{', '.join(SORTS)}; -KEY the other way round.", show_default=False),
]

Local = Annotated[bool, typer.Option("--local", help="Show times by this host's clock instead of ages.")]
Watch = Annotated[bool, typer.Option("--watch", help="Live view: refresh every two seconds; q quits.")]


@dataclass(frozen=True, kw_only=True)
class _Shown:
    """The options that say how jobs are shown."""

    sort: Sort = NEWEST_FIRST
    limit: Limit = None
    local: Local = False
    utc: given.Utc = False


@given.spread
def _ls(
    context: typer.Context,
    *,
    which: given.Which,
    shown: _Shown,
    watch: Watch = False,
    as_json: given.AsJson = False,
) -> None:
    """List jobs, newest first."""
    from cronq.execution import leftovers

    call = given.invocation(context)
    view = _View(
        which.selection(), _sort(shown.sort), _limit(shown.limit), TimeStyle.of(utc=shown.utc, local=shown.local)
    )
    if watch and as_json:
        raise given.refuse("either --watch or --json", context)
    with call.store(reading=True) as store:
        if watch:
            _watch(store, view)
            return
        jobs, more = _first(store, view, view.number)
        found = [leftovers.with_its_process(call.config, job) for job in jobs]
        _print(found, store, view.style, as_json=as_json)
        if not jobs and not as_json:
            bulk.hint(call, store, view.selection)
        if more and shown.limit is None and not call.quiet:
            _tell_more(store, view, jobs)
        if not as_json and not call.quiet:
            _tell_of_queues(store, jobs)
            _tell_where(call)


def _sort(key: str) -> str:
    if key.removeprefix("-") not in SORTS:
        raise InvalidInput(f"--sort: {key!r} is none of {', '.join(SORTS)}{given.suggestion(key, SORTS)}")
    return key


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


def _first(store: Store, view: _View, number: int | None) -> tuple[Sequence[Job], bool]:
    """Read the first jobs in the order of the view; return them, and whether there are more."""
    if number is None:
        return store.jobs.find(view.selection, sort=view.sort), False
    jobs = store.jobs.find(view.selection, limit=number + 1, sort=view.sort)
    return jobs[:number], len(jobs) > number


def _print(jobs: Sequence[Job], store: Store, style: TimeStyle, *, as_json: bool) -> None:
    from cronq.render.text import document, on_terminal, write

    if as_json:
        write([document([job.to_json() for job in jobs])])
    elif not on_terminal():
        from cronq.render.tsv import job_line

        write(map(job_line, jobs))
    elif jobs:
        from cronq.render.console import Screen
        from cronq.render.relative_time import Ages

        screen = Screen()
        screen.print(_table(jobs, screen, Ages(given.now(store), style)))
    else:
        write(["no jobs"])


def _tell_where(call: Invocation) -> None:
    """Print the database: with -v to stderr, else on a terminal as one dim line."""
    from cronq.render.text import complain, on_terminal

    where = f"the database is {call.config.safe_database()}"
    if call.verbose:
        complain(where)
    elif on_terminal():
        from rich.text import Text

        from cronq.render.console import Screen

        Screen().console.print(Text(where, "dim"), no_wrap=True, overflow="ellipsis")


def _tell_more(store: Store, view: _View, jobs: Sequence[Job]) -> None:
    from cronq.render.text import complain

    number = store.jobs.count_up_to(view.selection, _COUNTED + 1)
    all_ = f"more than {_COUNTED:,}" if number > _COUNTED else f"{number:,}"
    which = "newest" if view.sort == NEWEST_FIRST else "first"
    complain(f"only the {which} {view.number} of {all_} are shown; --limit 0 shows all")
    hidden = {} if view.selection.states else _hidden(store, view.selection, jobs)
    if hidden:
        told = ", ".join(f"{number:,} {state}" for state, number in hidden.items())
        complain(f"not shown are {told} (--state {','.join(hidden)})")


def _hidden(store: Store, selection: Selection, shown: Sequence[Job]) -> dict[str, int]:
    """Count, by state, the failed, retrying and running jobs that aren't shown."""
    numbers = {}
    for state in _LOOKED_FOR:
        every = store.jobs.count_up_to(selection._replace(states=frozenset({state})), _COUNTED)
        numbers[state.value] = every - sum(job.state == state for job in shown)
    return {state: number for state, number in numbers.items() if number > 0}


def _tell_of_queues(store: Store, jobs: Sequence[Job]) -> None:
    """On a terminal, write which queues of listed due jobs are paused or served by nothing."""
    from cronq.render.text import complain, on_terminal

    queues = sorted({job.queue for job in jobs if job.state in _DUE})
    if not queues or not on_terminal():
        return
    stats = store.jobs.stats()
    for queue in queues:
        if queue in stats.paused:
            complain(f"queue {queue} is paused (cronq resume {queue})")
        elif not stats.is_served(queue):
            complain(f"nothing serves queue {queue} (cronq doctor)")


def _table(jobs: Sequence[Job], screen: Screen, ages: Ages) -> RenderableType:
    from cronq.render import jobs as drawn

    return drawn.table(jobs, screen, ages)


def _watch(store: Store, view: _View) -> None:
    from cronq.render.live import LiveScreen

    with LiveScreen.required("ls --watch") as live:
        frame = partial(_frame, live, store, view)
        live.show(frame())
        while live.key(_EVERY) not in {"q", "esc"}:
            live.show(frame())


def _frame(live: LiveScreen, store: Store, view: _View) -> RenderableType:
    from cronq.render.relative_time import Ages

    jobs, _ = _first(store, view, live.rows if view.number is None else min(view.number, live.rows))
    return _table(jobs, live.screen, Ages(given.now(store), view.style))


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("ls", epilog=_LS_EXAMPLE)(_ls)
