"""`cronq top`: a live view of the queues."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from cronq.commands import options as given

if TYPE_CHECKING:
    from cronq.commands.top_controller import Top
    from cronq.render.live import LiveScreen

_EXAMPLE = """\
Example:

\b
  cronq top
  cronq top --once

Keys:

\b
  j k up down  move; g and G, Home and End, PgUp and PgDn
  Tab          move between the queues and the list
  Enter        list the queue's failures; list a failure's jobs; open a job
  Esc          go back; clear the filter
  s S          list failures, or jobs by state: next, previous
  /            filter the list by a text
  p            pause the queue, or resume it
  r            retry a job, a failure's jobs, a queue's failed ones; asks first
  c            cancel a job or a failure's jobs, end a running job; asks first
  ?            this help
  q            quit; in a job and in this help: go back

Exit status: 0 done, 64 no terminal, 69 database out of reach, 78 configuration.
"""

_EVERY = 2.0
"""Seconds between two refreshes."""

Once = Annotated[bool, typer.Option("--once", help="Print the view once and exit; needs no terminal.")]


def _top(context: typer.Context, *, once: Once = False) -> None:
    """Live view of queues, workers and failures.

    Keys open, retry and cancel jobs, and pause queues.
    """
    from cronq.commands.top_controller import Top
    from cronq.render.console import Screen
    from cronq.render.live import LiveScreen

    call = given.invocation(context)
    where = call.config.safe_database()
    with call.store(reading=True) as store:
        if once:
            screen = Screen()
            top = Top(store, screen, where=where, live=False)
            top.refresh()
            screen.print(top.frame())
            return
        with LiveScreen.required("top", instead="--once prints one picture") as live:
            _watch(Top(store, live.screen, where=where, live=True), live)


def _watch(top: Top, live: LiveScreen) -> None:
    """Refresh the screen and handle keys, until the user quits."""
    due = 0.0
    while not top.over:
        if top.stale or time.monotonic() >= due:
            top.refresh()
            due = time.monotonic() + _EVERY
        live.show(top.frame())
        key = live.key(due - time.monotonic())
        if key is not None:
            top.press(key)


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("top", epilog=_EXAMPLE)(_top)
