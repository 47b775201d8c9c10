"""Parse cron expressions, and compute the local times that match them.

cronsim does both, after names like @daily and terms that it reads differently from cron are rewritten.
"""

from __future__ import annotations

from copy import copy
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from cronsim import CronSim, CronSimError

from cronq.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAMED = {
    "@YEARLY": "0 0 1 1 *",
    "@ANNUALLY": "0 0 1 1 *",
    "@MONTHLY": "0 0 1 * *",
    "@WEEKLY": "0 0 * * 0",
    "@DAILY": "0 0 * * *",
    "@MIDNIGHT": "0 0 * * *",
    "@HOURLY": "0 * * * *",
}
_FIELDS = {
    "second": "0-59",
    "minute": "0-59",
    "hour": "0-23",
    "day of month": "1-31, L or LW",
    "month": "1-12 or JAN-DEC",
    "weekday": "0-7 or SUN-SAT, 5L or MON#2",
}
_WITHOUT_SECONDS = 5
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_NAMES = {
    "weekday": {name: str(number) for number, name in enumerate(("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"))},
    "month": dict(zip(_MONTHS, map(str, range(1, 13)), strict=True)),
}
_DAY, _WEEKDAY = 3, 5
_SUNDAY = ("SUN", "0")
_SOME_DAY = datetime(2000, 1, 1)


class Expression:
    """One cron expression, checked: five fields, or six with the second first, or a name like @daily.

    Raises ConfigError naming the field and what was expected of it, also for an expression that never matches.
    """

    __slots__ = ("_matching", "fields", "follows_clock", "text")

    def __init__(self, text: str) -> None:
        self.text = " ".join(text.split())
        self.fields = _fields(self.text)
        second, minute, hour = self.fields[:3]
        self.follows_clock = any(field.startswith("*") for field in (second, minute, hour))
        """Whether it is due at every instant whose local time matches; if not, once for each local time."""
        self._matching = _matching(self.text, self.fields)

    def after(self, local: datetime) -> Iterator[datetime]:
        """Return the matching local times strictly after this one, oldest first; they have no zone."""
        found = copy(self._matching)  # parsing again would take longer than all else
        found.dt = local.replace(microsecond=0)
        return found

    def between(self, first: datetime, until: datetime) -> Iterator[datetime]:
        """Yield the matching local times from `first` on and before `until`; both are full seconds."""
        for local in self.after(first - timedelta(seconds=1)):
            if local >= until:
                return
            yield local

    def words(self) -> str:
        """Return the expression in words: `At 02:30 every day`."""
        return self._matching.explain()


def _fields(text: str) -> tuple[str, ...]:
    upper = text.upper()
    if text.startswith("@"):
        if upper not in _NAMED:
            raise ConfigError(f"cron {text!r}: expected one of {', '.join(_NAMED).lower()}, or five or six fields")
        upper = _NAMED[upper]
    fields = upper.split()
    if len(fields) == _WITHOUT_SECONDS:
        fields = ["0", *fields]
    if len(fields) != len(_FIELDS):
        raise ConfigError(
            f"cron {text!r}: expected five fields (minute, hour, day of month, month, weekday)"
            " or six with the second first"
        )
    return tuple(
        ",".join(_term(term, field=name) for term in terms.split(","))
        for name, terms in zip(_FIELDS, fields, strict=True)
    )


def _term(term: str, *, field: str) -> str:
    span, slash, step = term.partition("/")
    first, dash, last = span.partition("-")
    if dash and _number(first, field) == _number(last, field):
        span = first
        if slash and step.isdecimal() and int(step):
            return span  # cronsim reads 4-4/5 as 4/5
    elif dash and field == "weekday" and last in _SUNDAY:
        span = f"{first}-7"
    return f"{span}{slash}{step}"


def _number(value: str, field: str) -> str:
    number = _NAMES.get(field, {}).get(value, value)
    return str(int(number)) if number.isdecimal() else number


def _matching(text: str, fields: tuple[str, ...]) -> CronSim:
    try:
        found = CronSim(" ".join(fields), _SOME_DAY)
    except CronSimError:
        _refuse_field(text, fields)
        raise _never(text) from None
    if "L/" in fields[_DAY] or "W/" in fields[_DAY]:
        raise _misread(text, _DAY)
    if _may_never_match(fields) and next(CronSim(" ".join(fields), _SOME_DAY), None) is None:
        raise _never(text)
    return found


def _may_never_match(fields: tuple[str, ...]) -> bool:
    """Tell whether day of month and weekday both have to match: cronsim itself refuses days that no month has."""
    day, weekday = fields[_DAY], fields[_WEEKDAY]
    return "*" not in (day, weekday) and (day.startswith("*") or weekday.startswith("*"))


def _refuse_field(text: str, fields: tuple[str, ...]) -> None:
    for place, field in enumerate(fields):
        alone = [*"******"]
        alone[place] = field
        try:
            CronSim(" ".join(alone), _SOME_DAY)
        except CronSimError:
            raise _misread(text, place) from None


def _misread(text: str, place: int) -> ConfigError:
    name, expected = list(_FIELDS.items())[place]
    shown = text.split()[place - len(_FIELDS)]
    return ConfigError(
        f"cron {text!r}: {name} {shown!r}: expected {expected}, in lists, ranges and steps (no W, ?, @reboot)"
    )


def _never(text: str) -> ConfigError:
    return ConfigError(f"cron {text!r}: expected a time that comes true, there is no such day in 50 years")
