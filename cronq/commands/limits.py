"""`cronq limits`: show limits, and set them over the configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cronq.commands import bulk
from cronq.commands import options as given
from cronq.errors import InvalidInput, JobNotFound
from cronq.model import limits as rules
from cronq.model.limits import Bounds, Limit
from cronq.times import SECOND, iso, to_datetime

if TYPE_CHECKING:
    from cronq.commands import Invocation
    from cronq.storage.flow_stats import LimitStats
    from cronq.store import Store

_EXAMPLE = """\
Example:

\b
  cronq limits
  cronq limits set smtp 5
  cronq limits set stripe --rate 50/1m
  cronq limits reset smtp

Exit status: 0 done, 1 no such limit, 65 bad input, 69 database out of reach, 78 configuration.
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
        _print(store.limit_views(), as_json=as_json)


def _print(found: list[LimitStats], *, as_json: bool) -> None:
    from cronq.render.text import document, on_terminal, write
    from cronq.render.tsv import tabbed

    if as_json:
        write([document([_json(one) for one in found])])
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
    allows = one.bounds.text() + (" (set by hand)" if any(one.own) else "")
    return one.name, allows, str(one.taken), str(one.pending), _next(one)


def _next(one: LimitStats) -> str:
    if one.opens_at is not None:
        return f"{to_datetime(one.opens_at):%Y-%m-%d %H:%M:%S} UTC"
    return "when one ends" if one.is_full and one.pending else "now"


def _json(one: LimitStats) -> dict[str, Any]:
    return {
        "name": one.name,
        "defined_by": one.pattern,
        **_bounds(one.bounds),
        "set": _bounds(one.own) if any(one.own) else None,
        "taken": one.taken,
        "pending": one.pending,
        "opens_at": None if one.opens_at is None else iso(one.opens_at),
    }


def _bounds(bounds: Bounds) -> dict[str, Any]:
    period = None if bounds.period is None else bounds.period / SECOND
    return {"concurrency": bounds.concurrency, "starts": bounds.starts, "period": period}


def _set(context: typer.Context, name: Name, places: Places = None, *, rate: Rate = None) -> None:
    """Set a limit over the configuration, on all hosts, until it is reset.

    What isn't given stays as it is. Fewer places: ready jobs go back, running ones go on.
    """
    if places is None and rate is None:
        raise given.refuse("a number of places, or --rate", context)
    concurrency = None if places is None else _places(places)
    starts = (None, None) if rate is None else _rate(rate)
    call = given.invocation(context)
    with call.store() as store:
        before = store.definitions.get(name)
        own = Bounds(concurrency, *starts).over(before.own if before else Bounds())
        _change(call, store, name, own)


def _reset(context: typer.Context, name: Name) -> None:
    """Let the configuration decide on a limit again."""
    call = given.invocation(context)
    with call.store() as store:
        _change(call, store, name, Bounds())


def _change(call: Invocation, store: Store, name: str, own: Bounds) -> None:
    from cronq.flow.configured import configured

    bounds = configured(call.config)
    pattern = rules.defined_by(name, bounds)
    changed = store.definitions.set(name, own, None if pattern is None else Limit(name, pattern, bounds[pattern]))
    if changed is None:
        raise JobNotFound(f"there is no limit {name!r}: neither [limits] nor a job names it")
    store.limits.admit(changed, even_full=changed)
    bulk.note(call)


def _places(text: str) -> int:
    try:
        return rules.parse_concurrency(int(text) if text.isascii() and text.isdecimal() else None)
    except ValueError:
        raise InvalidInput(f"N: {text!r} is not a whole number of at least 1") from None


def _rate(text: str) -> tuple[int, int]:
    try:
        return rules.parse_rate(text)
    except ValueError:
        raise InvalidInput(f"--rate: {text!r} is not a rate like 100/10s") from None


def register(app: typer.Typer) -> None:
    """Add the command and those under it to the program."""
    group = typer.Typer(rich_markup_mode=None)
    group.callback(epilog=_EXAMPLE, invoke_without_command=True)(_limits)
    group.command("set", epilog=_EXAMPLE)(_set)
    group.command("reset", epilog=_EXAMPLE)(_reset)
    app.add_typer(group, name="limits")
