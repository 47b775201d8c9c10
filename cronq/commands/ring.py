"""`cronq ring`: wake the workers by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cronq.commands import options as given
from cronq.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cronq.config.loader import Config

_EXAMPLE = """\
Example:

\b
  cronq ring
  cronq ring 42

Exit status: 0 sent, 65 bad input, 69 a transport is out of reach, 78 configuration.
"""

_ANY_QUEUE = "default"
_NO_JOB = 0
"""The id that is sent without a job: a worker then queries the database."""

Rung = Annotated[str | None, typer.Argument(metavar="ID", help="The id of a job that is due.", show_default=False)]


def _ring(context: typer.Context, job_id: Rung = None) -> None:
    """Wake the workers, as an enqueue does.

    Those of this host, and others through the configured transports.
    Prints the transports that were used.

    With an ID also those transports that start one job at once. It starts no job that isn't due.
    """
    from cronq.render.text import write
    from cronq.transports.doorbell import LocalWorkers

    call = given.invocation(context)
    number = None if job_id is None else given.job_id(job_id)
    if here := LocalWorkers(call.config).wake():
        write(["1 worker of this host" if here == 1 else f"{here} workers of this host"])
    answers = list(_answers(call.config, number))
    write(shown for shown, error in answers if error is None)
    errors = [error for _, error in answers if error is not None]
    if errors:
        raise Unavailable("; ".join(map(str, errors)))


def _answers(config: Config, number: int | None) -> Iterator[tuple[str, Exception | None]]:
    """Notify each transport; yield its URL without the password, and its error or None."""
    from cronq.config.database_url import without_password
    from cronq.transports import bounded
    from cronq.transports.transport import LIMIT, open_transport

    for url in config.wake:
        transport = open_transport(url, config)
        if number is None and not transport.listens:
            continue
        try:
            bounded.notify(transport, _ANY_QUEUE, _NO_JOB if number is None else number, seconds=LIMIT)
        except bounded.Late as error:
            yield without_password(url), Unavailable(f"{without_password(url)}: {error}")
        except Unavailable as error:
            transport.close()
            yield without_password(url), error
        else:
            transport.close()
            yield without_password(url), None


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the program."""
    app.command("ring", epilog=_EXAMPLE)(_ring)
