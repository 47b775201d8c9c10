"""Warn of what is valid in a schedule but probably not meant.

These are steps that don't divide, days combined by AND, UTC by default, and local times that the clocks skip.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from cronq.schedules.rule import MOVED, ONCE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from cronq.schedules.definition import Definition
    from cronq.schedules.expression import Expression
    from cronq.schedules.rule import Rule

_STEPPED = {
    0: ("second", 60, "minute"),
    1: ("minute", 60, "hour"),
    2: ("hour", 24, "day"),
    3: ("day of month", 0, "month"),
}
"""By the field's place: its name, the number of its values (0: it varies), the unit with which its steps start anew."""

_HOUR, _DAY, _WEEKDAY = 2, 3, 5
_AHEAD = timedelta(days=366)


def warnings(definition: Definition, *, zone_is_given: bool, now: datetime) -> Iterator[str]:
    """Yield a sentence for each part of the schedule that may be due at unexpected times."""
    rule = definition.rule()
    for expression in rule.expressions:
        yield from _steps(expression)
        yield from _days(expression)
        if not zone_is_given and not expression.fields[_HOUR].startswith("*"):
            yield f"{expression.text!r}: hour {expression.fields[_HOUR]} is one of UTC, because no timezone is given"
    yield from _changes(rule, now)


def _steps(expression: Expression) -> Iterator[str]:
    for place, (name, size, unit) in _STEPPED.items():
        for term in expression.fields[place].split(","):
            span, _, step = term.partition("/")
            if span == "*" and step and not _divides(int(step), size):
                through = "; `every` counts through" if size else ""
                yield f"{expression.text!r}: {name} {term} starts anew with each {unit}, after a shorter step{through}"


def _divides(step: int, size: int) -> bool:
    return step == 1 or (size > 0 and size % step == 0)


def _days(expression: Expression) -> Iterator[str]:
    day, weekday = expression.fields[_DAY], expression.fields[_WEEKDAY]
    if "*" in (day, weekday):
        return
    if day.startswith("*") or weekday.startswith("*"):
        yield f"{expression.text!r}: day of month {day} AND weekday {weekday} have to match, because one begins with *"
    else:
        yield f"{expression.text!r}: day of month {day} OR weekday {weekday} is enough, as in cron"


def _changes(rule: Rule, now: datetime) -> Iterator[str]:
    for doubt in rule.doubts(now, now + _AHEAD):
        if doubt.kind == ONCE:
            continue
        local = f"{doubt.local:%Y-%m-%d %H:%M}"
        then = f"due at {rule.zone.local(doubt.at):%H:%M} instead" if doubt.kind == MOVED else "not due that day"
        yield f"{local} doesn't exist in {rule.zone.name}, the clocks skip it: {then}"
