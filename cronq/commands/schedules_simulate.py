"""`cronq schedules simulate`: show what all schedules together will do."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cronq.commands import options as given
from cronq.errors import ConfigError, InvalidInput, NoQueue
from cronq.times import from_datetime, iso, parse_when, to_datetime

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cronq.commands import Invocation
    from cronq.schedules.definition import Definition
    from cronq.schedules.simulation import Simulation
    from cronq.store import Store

_REMEMBERED = 50
"""Maximum number of past jobs of a schedule, the newest ones, from which its mean duration is computed."""

_EXAMPLE = """\
Example:

\b
  cronq schedules simulate
  cronq schedules simulate --from 2027-03-27 --to 2027-03-29
  cronq schedules simulate --to +7d --set 'report.daily.cron=30 3 * * *'

Exit status: 0 done, 65 bad input, 69 database out of reach, 78 configuration.
"""


def _simulate(
    context: typer.Context,
    *,
    start: Annotated[str | None, typer.Option("--from", metavar="TIME", help="The first instant (now).")] = None,
    until: Annotated[str, typer.Option("--to", metavar="TIME", help="The last instant (+1d).")] = "+1d",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME.KEY=VALUE", help="As if it were declared so; repeatable."),
    ] = None,
    as_json: given.AsJson = False,
) -> None:
    """Show what all schedules together will do, without doing it.

    Jobs and busy time in each hour, the minutes in which most jobs start, due times at which an earlier job will still
    be running, and local times that a change of the clocks moves, drops or repeats. How long jobs take
    is the mean of the past; without a database it is 0.
    """
    from cronq.render.text import document, on_terminal, write
    from cronq.schedules.simulation import SimulatedSchedule, Simulation, changed
    from cronq.schedules.zones import Zone

    call = given.invocation(context)
    zone, now = Zone(call.config.timezone), from_datetime(datetime.now(UTC))
    first = now if start is None else parse_when(start, now=now, what="--from", zone=zone)
    last = parse_when(until, now=first, what="--to", zone=zone)
    if last < first:
        raise InvalidInput("--to: expected a time after --from")
    past = _Past(call)
    definitions = changed(past.definitions, settings or ())
    schedules = [
        SimulatedSchedule(one, past.durations.get(name, timedelta(0))) for name, one in sorted(definitions.items())
    ]
    simulated = Simulation(schedules, to_datetime(first), to_datetime(last), installation=past.installation)
    if as_json:
        write([document(_document(simulated, schedules))])
    elif on_terminal():
        from cronq.render.simulation import show

        show(simulated)
    else:
        from cronq.render.simulation import lines

        write(lines(simulated))


class _Past:
    """The schedules that are stored, or declared by the configuration or the app, and their jobs' mean durations."""

    def __init__(self, call: Invocation) -> None:
        self.definitions: dict[str, Definition] = {}
        self.durations: dict[str, timedelta] = {}
        self.installation = ""
        with suppress(NoQueue), call.store(reading=True) as store:
            self._read(store)
        self.definitions |= {one.name: one for one in call.cronq(with_tasks=True).definitions()}

    def _read(self, store: Store) -> None:
        from cronq.schedules.definition import Definition

        rows = store.schedules.all()
        for row in rows:
            if row.next_at is not None:
                with suppress(ConfigError):  # it can't be fired here either; `doctor` names it
                    self.definitions[row.name] = Definition.from_json(row.name, row.definition)
            self.durations[row.name] = _mean(store, row.name)
        self.installation = store.schedules.installation() if rows else ""


def _mean(store: Store, name: str) -> timedelta:
    found = store.schedules.outcomes(name, limit=_REMEMBERED)
    took = [one.finished_at - one.started_at for one in found if one.started_at and one.finished_at]
    return timedelta(microseconds=sum(took) // len(took)) if took else timedelta(0)


def _document(simulated: Simulation, schedules: Any) -> dict[str, Any]:
    return {
        "schedules": [
            {
                "schedule": schedule.definition.name,
                "rule": schedule.definition.rule().words(),
                "jobs": simulated.jobs[schedule.definition.name],
                "duration": schedule.duration.total_seconds(),
            }
            for schedule in schedules
        ],
        "hours": [
            {"hour": _iso(hour), "jobs": jobs, "busy": simulated.busy[hour].total_seconds()}
            for hour, jobs in simulated.hours.items()
        ],
        "fullest": [{"minute": _iso(minute), "jobs": jobs} for minute, jobs in simulated.fullest],
        "overlaps": [
            {
                "schedule": one.definition.name,
                "overlap": one.definition.overlap,
                "times": one.times,
                "first_at": _iso(one.first),
            }
            for one in simulated.overlaps
        ],
        "doubtful": list(_doubtful(simulated)),
    }


def _doubtful(simulated: Simulation) -> Iterator[dict[str, Any]]:
    for name, doubt in simulated.doubts:
        due = None if doubt.kind == "dropped" else _iso(doubt.at)
        yield {"schedule": name, "local": doubt.local.isoformat(), "change": doubt.kind, "due_at": due}


def _iso(instant: datetime) -> str:
    return iso(from_datetime(instant))


def register(app: typer.Typer) -> None:
    """Add the command to those on schedules."""
    app.command("simulate", epilog=_EXAMPLE)(_simulate)
