"""What typer knows of the commands that start without it: their help and their errors."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated

import typer

from cronq.commands import options as given
from cronq.commands import run, serve_inetd

_RUN_EXAMPLE = """\
Example:

\b
  * * * * * cronq run                        in a crontab
  cronq run --queue 'mail*' --queue '!mail.bulk' --jobs 4
  cronq run --priority 0-20 --max-time 50s

Exit status: 0 done (also when another run holds the lock), 1 with --fail when a job failed,
65 bad input, 69 database out of reach, 78 configuration.
"""


_SERVE_EXAMPLE = """\
Example:

\b
  echo 42 | cronq serve-inetd                by hand
  echo 42 | nc -N 127.0.0.1 11137            where xinetd or systemd starts it

Exit status: 0 the job was started (or nobody asked), 1 it may not run now, 65 malformed,
69 database out of reach, 78 configuration.
"""


@dataclass(frozen=True, kw_only=True)
class _Run:
    queue: Annotated[
        list[str] | None,
        typer.Option("--queue", metavar="QUEUE", help="Only this queue: name, glob or !name; repeatable."),
    ] = None
    weighted: Annotated[
        bool, typer.Option("--weighted", help="Choose among the queues with weight 1/rank, none starves.")
    ] = False
    priority: Annotated[
        str | None, typer.Option("--priority", metavar="RANGE", help="Only these: 10, 20-40, 25- or -20.")
    ] = None
    jobs: Annotated[str | None, typer.Option("--jobs", metavar="N", help="So many at a time (config: jobs).")] = None
    limit: Annotated[str | None, typer.Option("--limit", metavar="N", help="Stop after so many jobs.")] = None
    max_time: Annotated[
        str | None, typer.Option("--max-time", metavar="D", help="Start no job after this time, like 50s.")
    ] = None
    fail: Annotated[bool, typer.Option("--fail", help="Exit 1 when a job failed for good.")] = False


@given.spread
def _run(context: typer.Context, *, options: _Run) -> int:
    """Rescue what dead runs left behind, then do everything that is due.

    Prints nothing without a terminal when nothing went wrong; one line on stderr for each
    job that needs a person. One run a host: a second one ends at once.
    """
    chosen = run.RunOptions()
    for name, value in asdict(options).items():
        setattr(chosen, name, value if value is not None or name != "queue" else [])
    return run.execute(given.invocation(context), chosen)


@dataclass(frozen=True, kw_only=True)
class _Serve:
    jobs: Annotated[
        str | None, typer.Option("--jobs", metavar="N", help="On a listening socket: at most so many at a time (16).")
    ] = None
    idle_exit: Annotated[
        str | None,
        typer.Option("--idle-exit", metavar="D", help="On a listening socket: end after this time idle (60s)."),
    ] = None


@given.spread
def _serve_inetd(context: typer.Context, *, options: _Serve) -> int:
    """Read a job's id from a connection and start exactly that job at once.

    For xinetd, inetd and systemd: stdin is the connection, or the socket that listens. It answers
    OK 42, or ERR and why not, before the job runs. A pipe or a terminal does as well.
    """
    chosen = serve_inetd.Options()
    for name, value in asdict(options).items():
        setattr(chosen, name, value)
    return serve_inetd.execute(given.invocation(context), chosen, serve_inetd.enter())


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the program."""
    app.command("run", epilog=_RUN_EXAMPLE)(_run)
    app.command("serve-inetd", epilog=_SERVE_EXAMPLE)(_serve_inetd)
