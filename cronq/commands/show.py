"""`cronq show`: print one job."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from cronq.commands import options as given
from cronq.model.printable import one_line
from cronq.times import to_datetime

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from cronq.model.job import Job
    from cronq.monitoring.job_record import JobRecord
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

Output = Annotated[
    bool, typer.Option("--output", help="Print only the stored output of the job, to stdout and stderr.")
]
Utc = Annotated[bool, typer.Option("--utc", help="Show times in UTC instead of this host's time, without ages.")]


def _show(
    context: typer.Context,
    ids: given.SomeJobs,
    *,
    output: Output = False,
    utc: Utc = False,
    as_json: given.AsJson = False,
) -> None:
    """Show jobs: times, arguments, attempts, errors, output."""
    if output and as_json:
        raise given.refuse("either --output or --json", context)
    from cronq.execution import leftovers
    from cronq.monitoring.job_record import JobRecord

    call = given.invocation(context)
    with call.store(reading=True) as store:
        now = None if as_json else given.now(store)
        found, missing = given.jobs(store, ids)
        pages = [JobRecord.read(store, leftovers.with_its_process(call.config, job)) for job in found]
        if output:
            for page in pages:
                _print_output(page.output)
        elif now is None:
            _print_json(pages, several=len(ids) > 1)
        else:
            _print_pages(pages, now=now, utc=utc)
    given.require_none(missing)


def _print_json(pages: Sequence[JobRecord], *, several: bool) -> None:
    from cronq.render.text import document, write

    shown = [page.to_json() for page in pages]
    if several:
        write([document(shown)])
    else:
        write(map(document, shown))


def _print_pages(pages: Sequence[JobRecord], *, now: datetime, utc: bool) -> None:
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


def _by_hand(page: JobRecord) -> Iterable[str]:
    """Yield one line for each change of the job that a user made by hand."""
    from cronq.render.text import time

    for action in page.actions:
        reason = f": {action.reason}" if action.reason else ""
        yield one_line(f"{action.verb} by {action.who} at {time(to_datetime(action.at))}{reason}")


def _draw(page: JobRecord, *, now: datetime, utc: bool) -> None:
    from cronq.render import job_terminal
    from cronq.render.console import Screen
    from cronq.render.relative_time import Ages, TimeStyle

    screen = Screen()
    screen.print(
        job_terminal.draw(job_terminal.JobDetails(*page[:3], page.ties), screen, Ages(now, TimeStyle.of(utc=utc)))
    )


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


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("show", epilog=_SHOW_EXAMPLE)(_show)
