"""`cronq show`: print one job."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from cronq.commands import options as given
from cronq.model.dependencies import Ties
from cronq.model.printable import one_line
from cronq.times import iso, to_datetime

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from cronq.model.job import Attempt, Job
    from cronq.storage.actions import Action
    from cronq.store import Store


_SHOW_EXAMPLE = """\
Example:

\b
  cronq show 42
  cronq show 42 43
  cronq show last --output | less
  cronq show 42 --json | jq .error

Exit status: 0 done, 1 no such job, 64 --output with --json, 65 bad input,
69 database out of reach, 78 configuration.
"""

_CHILDREN = 20
"""Jobs shown of those that come after one."""

Output = Annotated[
    bool, typer.Option("--output", help="Print only the stored output of the job, to stdout and stderr.")
]


class _Page(NamedTuple):
    """The data of a job: its row, the attempts that did not succeed, the last output, what was done by hand."""

    job: Job
    attempts: Sequence[Attempt]
    output: tuple[str | None, str | None]
    actions: Sequence[Action]
    ties: Ties


def _show(
    context: typer.Context,
    ids: given.SomeJobs,
    *,
    output: Output = False,
    utc: given.Utc = False,
    as_json: given.AsJson = False,
) -> None:
    """Show jobs: times, arguments, attempts, errors, output."""
    if output and as_json:
        raise given.refuse("either --output or --json", context)
    from cronq.execution import leftovers

    call = given.invocation(context)
    with call.store(reading=True) as store:
        now = None if as_json else given.now(store)
        found, missing = given.jobs(store, ids)
        pages = [_page(store, leftovers.with_its_process(call.config, job)) for job in found]
        if output:
            for page in pages:
                _print_output(page.output)
        elif now is None:
            _print_json(pages, several=len(ids) > 1)
        else:
            _print_pages(pages, now=now, utc=utc)
    given.require_none(missing)


def _page(store: Store, job: Job) -> _Page:
    ties = Ties(store.flow.parents(job.id), store.flow.children(job.id, limit=_CHILDREN))
    return _Page(job, store.jobs.attempts(job.id), store.jobs.output(job.id), store.actions.of_job(job.id), ties)


def _print_json(pages: Sequence[_Page], *, several: bool) -> None:
    from cronq.render.text import document, write

    shown = [_whole(page) for page in pages]
    if several:
        write([document(shown)])
    else:
        write(map(document, shown))


def _print_pages(pages: Sequence[_Page], *, now: datetime, utc: bool) -> None:
    from cronq.render.text import on_terminal, write

    for page in pages:
        if page is not pages[0]:
            write([""])
        if on_terminal():
            _draw(page, now=now, utc=utc)
        else:
            from cronq.render.job_text import job_page

            write(job_page(*page[:3], page.ties))
        write(_by_hand(page))


def _by_hand(page: _Page) -> Iterable[str]:
    """List users' changes of the job."""
    from cronq.render.text import time

    for action in page.actions:
        reason = f": {action.reason}" if action.reason else ""
        yield one_line(f"{action.verb} by {action.who} at {time(to_datetime(action.at))}{reason}")


def _draw(page: _Page, *, now: datetime, utc: bool) -> None:
    from cronq.render import job_terminal
    from cronq.render.console import Screen
    from cronq.render.relative_time import Ages, Zone

    screen = Screen()
    screen.print(job_terminal.draw(job_terminal.Portrait(*page[:3], page.ties), screen, Ages(now, Zone.of(utc=utc))))


def _print_output(output: tuple[str | None, str | None]) -> None:
    """Print the job's stdout to stdout and its stderr to stderr; a terminal gets control characters escaped."""
    from cronq.model.printable import safe

    for stream, text in zip((sys.stdout, sys.stderr), output, strict=True):
        if stream is not None and text:
            stream.write(safe(text) if stream.isatty() else text)
            stream.flush()


def require(store: Store, text: str) -> Job:
    """Read the job with this id. Raises InvalidInput, JobNotFound."""
    found, missing = given.jobs(store, [text])
    given.require_none(missing)
    return found[0]


def _whole(page: _Page) -> dict[str, Any]:
    stdout, stderr = page.output
    return {
        **page.job.to_json(),
        "attempts": [attempt.to_json() for attempt in page.attempts],
        "output": {"stdout": stdout, "stderr": stderr},
        "actions": [
            {"verb": action.verb, "at": iso(action.at), "by": action.who, "reason": action.reason}
            for action in page.actions
        ],
        **page.ties.to_json(),
    }


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("show", epilog=_SHOW_EXAMPLE)(_show)
