"""`cronq status`: counts of jobs, the last run, the workers."""

from __future__ import annotations

import typer  # noqa: TC002 - it reads the annotations itself

from cronq.commands import options as given

_STATUS_EXAMPLE = """\
Example:

\b
  cronq status
  cronq status --json | jq .queues.mail.failed

Exit status: 0 done, 69 database out of reach, 78 configuration.
"""


def _status(context: typer.Context, *, as_json: given.AsJson = False) -> None:
    """Count jobs by queue and state.

    Also names the database, and shows the oldest ready job, the last run and the workers.
    """
    from cronq.render import status
    from cronq.render.text import document, write

    call = given.invocation(context)
    with call.store(reading=True) as store:
        stats = store.jobs.stats()
    where = call.config.safe_database()
    if as_json:
        write([document({"database": where, **status.summary(stats)})])
    else:
        status.show(stats, where)


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("status", epilog=_STATUS_EXAMPLE)(_status)
