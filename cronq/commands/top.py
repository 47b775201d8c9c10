"""`cronq top`: a live view of the queues."""

from __future__ import annotations

from typing import Annotated

import typer

from cronq.commands import options as given

_EXAMPLE = """\
Example:

\b
  cronq top
  cronq top --once

Keys: q quit, up and down choose a queue, s what is listed, p pause or resume the queue,
r retry its failed jobs.
Exit status: 0 done, 64 no terminal, 69 database out of reach, 78 configuration.
"""

_EVERY = 2.0
"""Seconds between two refreshes."""

Once = Annotated[bool, typer.Option("--once", help="Print the view once and exit; needs no terminal.")]


def _top(context: typer.Context, *, once: Once = False) -> None:
    """Live view of queues, workers and failures.

    Keys pause a queue and retry its jobs.
    """
    from cronq.commands.top_controller import Top
    from cronq.render.console import Screen
    from cronq.render.live import LiveScreen

    call = given.invocation(context)
    where = call.config.safe_database()
    with call.store(reading=True) as store:
        if once:
            screen = Screen()
            screen.print(Top(store, screen, where=where).frame())
            return
        with LiveScreen.required("top", instead="--once prints one picture") as live:
            top = Top(store, live.screen, where=where)
            live.show(top.frame())
            while (key := live.key(_EVERY)) not in {"q", "esc"}:
                if key is not None:
                    top.press(key)
                live.show(top.frame())


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("top", epilog=_EXAMPLE)(_top)
