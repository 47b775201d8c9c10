"""`cronq limits`: show limits, and set them over the configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cronq.commands import bulk
from cronq.commands import options as given
from cronq.model import limits as rules
from cronq.render import limits as rendered

if TYPE_CHECKING:
    from cronq.storage.flow_stats import LimitStats

_EXAMPLE = """\
Example:

\b
  cronq limits
  cronq limits set smtp 5
  cronq limits reset smtp

Exit status: 0 done, 64 wrong usage, 69 database out of reach, 78 configuration.
"""

_SET_EXAMPLE = """\
Example:

\b
  cronq limits set smtp 5
  cronq limits set stripe --rate 50/1m

Exit status: 0 done, 1 no such limit, 64 neither N nor --rate, 65 bad input,
69 database out of reach, 78 configuration.
"""

_RESET_EXAMPLE = """\
Example:

\b
  cronq limits reset smtp

Exit status: 0 done, 1 no such limit, 69 database out of reach, 78 configuration.
"""

_COLUMNS = ("limit", "allows", "taken", "pending", "next place")

Name = Annotated[str, typer.Argument(metavar="NAME", help="A limit, or a key like customer:* for all of its values.")]
Places = Annotated[str | None, typer.Argument(metavar="N", help="Number of parallel jobs.", show_default=False)]
Rate = Annotated[str | None, typer.Option("--rate", metavar="N/D", help="At most N starts in D, like 100/10s.")]


def _limits(context: typer.Context, *, as_json: given.AsJson = False) -> None:
    """Show the limits that jobs are under, and change them.

    Without a command: each limit, what it allows, the places taken, the jobs that wait, and when the next may start.
    """
    if context.invoked_subcommand is not None:
        return
    call = given.invocation(context)
    with call.store(reading=True) as store:
        _print(store.limit_reader.all(), as_json=as_json)


def _print(found: list[LimitStats], *, as_json: bool) -> None:
    from cronq.render.text import document, on_terminal, write
    from cronq.render.tsv import tabbed

    if as_json:
        write([document([rendered.to_json(one) for one in found])])
        return
    rows = [_row(one) for one in found if one.is_shown]
    if on_terminal():
        from cronq.render.console import Screen

        screen = Screen()
        drawn = screen.table(*_COLUMNS)
        for row in rows:
            drawn.add_row(*map(screen.cell, row))
        screen.print(drawn)
    else:
        write(tabbed(*row) for row in rows)


def _row(one: LimitStats) -> tuple[str, ...]:
    return one.name, rendered.allows(one), str(one.taken), str(one.pending), rendered.next_place(one)


def _set(context: typer.Context, name: Name, places: Places = None, *, rate: Rate = None) -> None:
    """Override the configuration's limit, on all hosts, until it is reset.

    What isn't given stays as it is. Fewer places: ready jobs go back, running ones go on.
    """
    if places is None and rate is None:
        raise given.refuse("a number of places, or --rate", context)
    from cronq.flow.setting import LimitSetter

    concurrency = None if places is None else rules.read_concurrency(places, what="N")
    starts = None if rate is None else rules.read_rate(rate, what="--rate")
    call = given.invocation(context)
    with call.store() as store:
        LimitSetter(call.config, store.definitions, store.limits).set(name, concurrency, starts)
        bulk.note(call)


def _reset(context: typer.Context, name: Name) -> None:
    """Remove the override: the configuration's limit applies again."""
    from cronq.flow.setting import LimitSetter

    call = given.invocation(context)
    with call.store() as store:
        LimitSetter(call.config, store.definitions, store.limits).reset(name)
        bulk.note(call)


def register(app: typer.Typer) -> None:
    """Add the command and those under it to the program."""
    group = typer.Typer(rich_markup_mode=None)
    group.callback(epilog=_EXAMPLE, invoke_without_command=True)(_limits)
    group.command("set", epilog=_SET_EXAMPLE)(_set)
    group.command("reset", epilog=_RESET_EXAMPLE)(_reset)
    app.add_typer(group, name="limits")
