"""`cronq wait`: wait for the end of a job."""

from __future__ import annotations

from typing import Annotated

import typer

from cronq.commands import options as given
from cronq.times import parse_duration

_WAIT_EXAMPLE = """\
Example:

\b
  cronq wait 42 --timeout 30s
  total=$(cronq wait "$(cronq enqueue add a=1 b=2)")

Exit status: 0 finished, 1 failed or cancelled or no such job, 65 bad input,
69 database out of reach, 75 not ended within --timeout, 78 configuration.
"""

Timeout = Annotated[
    str | None,
    typer.Option("--timeout", metavar="D", help="Give up after this time, like 30s. Default: never."),
]


def _wait(context: typer.Context, id_: given.JobId, *, timeout: Timeout = None) -> None:
    """Wait until a job has ended; prints its result as JSON."""
    from cronq.render.text import compact, write

    seconds = None if timeout is None else parse_duration(timeout, what="--timeout")
    number = given.job_id(id_)
    with given.invocation(context).cronq(with_tasks=False) as queue:
        result = queue.wait(number, timeout=seconds)
    write([compact(result)])


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the program."""
    app.command("wait", epilog=_WAIT_EXAMPLE)(_wait)
