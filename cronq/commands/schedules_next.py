"""`cronq schedules next`: the next due times of a schedule, or of an expression."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cronq.commands import options as given
from cronq.commands.fast_options import positive
from cronq.errors import ConfigError, InvalidInput, NoQueue
from cronq.times import from_datetime, iso, parse_duration, parse_when, to_datetime

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cronq.commands import Invocation
    from cronq.config.loader import Config
    from cronq.schedules.definition import Definition
    from cronq.schedules.forecast import Foreseen
    from cronq.schedules.rule import Rule

_EXAMPLE = """\
Example:

\b
  cronq schedules next report.daily
  cronq schedules next "30 2 * * *" --timezone Europe/Prague --from 2027-03-26
  cronq schedules next 90m --count 5 --json

Exit status: 0 done, 64 wrong usage, 65 bad input, 69 database out of reach,
78 configuration.
"""


def _next(
    context: typer.Context,
    words: Annotated[
        str,
        typer.Argument(metavar="NAME|EXPR", help="A schedule, a cron expression or a duration.", show_default=False),
    ],
    *,
    count: Annotated[str, typer.Option("--count", metavar="N", help="Number of due times.")] = "20",
    start: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="Due times after this time instead of now.")
    ] = None,
    timezone: Annotated[
        str | None, typer.Option("--timezone", metavar="ZONE", help="The time zone, over the schedule's.")
    ] = None,
    as_json: given.AsJson = False,
) -> None:
    """Print the next due times, local and in UTC.

    What a change of the clocks does is noted: due times that it moves or drops, and those that come
    once although the clocks show them twice. On a pipe the columns are separated by tabs.
    """
    from cronq.schedules.forecast import foresee

    number = positive(count, what="--count") or 0
    now = from_datetime(datetime.now(UTC))
    name, rule = _rule(given.invocation(context), words, timezone)
    after = to_datetime(now if start is None else parse_when(start, now=now, what="--from", zone=rule.zone))
    foreseen = foresee(rule, after, count=number)
    if as_json:
        _print_document(name, rule, foreseen)
    else:
        _print(rule, foreseen)


def _rule(call: Invocation, words: str, timezone: str | None) -> tuple[str | None, Rule]:
    from cronq.schedules.rule import Rule

    config = call.config
    definition = _definition(call, words)
    if definition is not None:
        return words, replace(definition, timezone=timezone or definition.timezone).rule()
    try:
        if _is_expression(words):
            return None, Rule.parse([words], timezone=timezone or config.timezone)
        return None, Rule.parse(every=_every(config, words), timezone=timezone or config.timezone)
    except ConfigError as error:
        raise InvalidInput(str(error)) from None


def _is_expression(words: str) -> bool:
    return words.startswith("@") or len(words.split()) > 1


def _is_duration(words: str) -> bool:
    try:
        return parse_duration(words) > 0
    except InvalidInput:
        return False


def _definition(call: Invocation, name: str) -> Definition | None:
    """Return the schedule of this name from the configuration, else from the database, else from the app, or None."""
    from cronq.schedules.definition import read_one

    if name in call.config.schedules:
        return read_one(call.config, name)
    if _is_expression(name) or _is_duration(name) or given.suggestion(name, call.config.schedules):
        return None
    return _stored(call, name) or _of_app(call, name)


def _stored(call: Invocation, name: str) -> Definition | None:
    from cronq.schedules.definition import Definition

    try:
        with call.store(reading=True) as store:
            row = store.schedules.get(name)
    except NoQueue:
        return None
    return Definition.from_json(name, row.definition) if row else None


def _of_app(call: Invocation, name: str) -> Definition | None:
    declared = call.cronq(with_tasks=True).definitions() if call.config.app else []
    return next((one for one in declared if one.name == name), None)


def _every(config: Config, words: str) -> float:
    try:
        return parse_duration(words)
    except InvalidInput:
        hint = given.suggestion(words, config.schedules)
        raise InvalidInput(
            f"{words!r} is neither a schedule nor a cron expression like '30 2 * * *' nor a duration{hint}"
        ) from None


def _print(rule: Rule, foreseen: Iterator[Foreseen]) -> None:
    from cronq.render.text import on_terminal, time, write

    if not on_terminal():
        from cronq.render.tsv import tabbed

        write(tabbed(_local(rule, one), time(one.due), one.note) for one in foreseen)
        return
    from cronq.render.console import Screen
    from cronq.schedules.forecast import AT_ONCE

    screen = Screen()
    drawn = screen.table("local", "UTC", "note", title=rule.words())
    while rows := list(islice(foreseen, AT_ONCE)):
        for one in rows:
            drawn.add_row(_local(rule, one), time(one.due), screen.cell(one.note, style="yellow"))
        screen.print(drawn)
        drawn = screen.table("local", "UTC", "note")
        drawn.show_header = False


def _local(rule: Rule, one: Foreseen) -> str:
    """Write the local time with its weekday, and with its offset unless a change of the clocks drops it."""
    if one.due is None:
        return f"{one.instead_of[0]:%a %Y-%m-%d %H:%M:%S}"
    return f"{rule.zone.aware(one.due):%a %Y-%m-%d %H:%M:%S %z}"


def _print_document(name: str | None, rule: Rule, foreseen: Iterable[Foreseen]) -> None:
    from cronq.render.text import document_with, write

    due: Iterator[dict[str, Any]] = (
        {
            "due_at": None if one.due is None else iso(from_datetime(one.due)),
            "local": None if one.due is None else rule.zone.aware(one.due).isoformat(),
            "change": one.change,
            "instead_of": [local.isoformat() for local in one.instead_of],
        }
        for one in foreseen
    )
    write(document_with({"schedule": name, "rule": rule.words(), "timezone": rule.zone.name}, "due", due))


def register(app: typer.Typer) -> None:
    """Add the command to those on schedules."""
    app.command("next", epilog=_EXAMPLE)(_next)
