"""`cronq pause` and `cronq resume`: stop and start the jobs of one queue."""

from __future__ import annotations

from typing import Annotated

import typer

from cronq.commands import bulk
from cronq.commands import options as given
from cronq.errors import InvalidInput

_PAUSE_EXAMPLE = """\
Example:

\b
  cronq pause mail

Exit status: 0 paused, 65 bad input, 69 database out of reach, 78 configuration.
"""

_RESUME_EXAMPLE = """\
Example:

\b
  cronq resume mail

Exit status: 0 not paused any more, 65 bad input, 69 database out of reach, 78 configuration.
"""

Queue = Annotated[str, typer.Argument(metavar="QUEUE", help="The name of a queue.", show_default=False)]


def _pause(context: typer.Context, queue: Queue) -> None:
    """Stop starting jobs of a queue until it is resumed.

    On all hosts. Running jobs continue.
    """
    _change(context, queue, "pause")


def _resume(context: typer.Context, queue: Queue) -> None:
    """Start jobs of a paused queue again."""
    _change(context, queue, "resume")


def _change(context: typer.Context, queue: str, verb: str) -> None:
    call = given.invocation(context)
    name = _name(queue)
    with call.store() as store:
        changed = store.admin.pause(name) if verb == "pause" else store.admin.resume(name)
    if changed:
        bulk.note(call)


def _name(queue: str) -> str:
    from cronq.config.settings import TASK

    try:
        return str(TASK["queue"].check(queue))
    except ValueError:
        raise InvalidInput(f"QUEUE: {queue!r} is not {TASK['queue'].expected}") from None


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the program."""
    app.command("pause", epilog=_PAUSE_EXAMPLE)(_pause)
    app.command("resume", epilog=_RESUME_EXAMPLE)(_resume)
