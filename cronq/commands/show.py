"""`cronq show`: print one job."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cronq.commands import options as given
from cronq.errors import JobNotFound

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from cronq.model.job import Attempt, Job
    from cronq.store import Store


_SHOW_EXAMPLE = """\
Example:

\b
  cronq show 42
  cronq show 42 --output | less
  cronq show 42 --json | jq .error

Exit status: 0 done, 1 no such job, 64 --output with --json, 65 bad input,
69 database out of reach, 78 configuration.
"""

Output = Annotated[
    bool, typer.Option("--output", help="Print only the stored output of the job, to stdout and stderr.")
]


def _show(
    context: typer.Context,
    id_: given.JobId,
    *,
    output: Output = False,
    utc: given.Utc = False,
    as_json: given.AsJson = False,
) -> None:
    """Show one job: times, arguments, attempts, errors, output."""
    if output and as_json:
        raise given.refuse("either --output or --json", context)
    from cronq.execution import leftovers

    call = given.invocation(context)
    with call.store() as store:
        job = leftovers.with_its_process(call.config, require(store, id_))
        written = store.jobs.output(job.id)
        if output:
            _print_output(written)
            return
        _print_page(job, store.jobs.attempts(job.id), written, now=None if as_json else given.now(store), utc=utc)


def _print_page(
    job: Job,
    attempts: Sequence[Attempt],
    output: tuple[str | None, str | None],
    *,
    now: datetime | None,
    utc: bool,
) -> None:
    from cronq.render.text import document, on_terminal, write

    if now is None:
        write([document(_whole(job, attempts, output))])
    elif not on_terminal():
        from cronq.render.job_text import job_page

        write(job_page(job, attempts, output))
    else:
        from cronq.render import job_terminal
        from cronq.render.console import Screen
        from cronq.render.relative_time import Ages, Zone

        screen = Screen()
        screen.print(
            job_terminal.draw(job_terminal.Portrait(job, attempts, output), screen, Ages(now, Zone.of(utc=utc)))
        )


def _print_output(output: tuple[str | None, str | None]) -> None:
    """What the job wrote to stdout on stdout, to stderr on stderr; a terminal gets it with controls spelt out."""
    from cronq.model.printable import safe

    for stream, text in zip((sys.stdout, sys.stderr), output, strict=True):
        if stream is not None and text:
            stream.write(safe(text) if stream.isatty() else text)
            stream.flush()


def require(store: Store, text: str) -> Job:
    """The job with the id in the text. Raises InvalidInput, JobNotFound."""
    number = given.job_id(text)
    job = store.jobs.get(number)
    if job is None:
        raise JobNotFound(f"there is no job {number}")
    return job


def _whole(job: Job, attempts: Sequence[Attempt], output: tuple[str | None, str | None]) -> dict[str, Any]:
    stdout, stderr = output
    return {
        **job.to_json(),
        "attempts": [attempt.to_json() for attempt in attempts],
        "output": {"stdout": stdout, "stderr": stderr},
    }


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("show", epilog=_SHOW_EXAMPLE)(_show)
