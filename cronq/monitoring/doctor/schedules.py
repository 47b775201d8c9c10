"""Check whether schedules are decided in time, this host can fire them, and the hosts declare the same."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cronq.monitoring.doctor.finding import Finding, fine, problem, warning
from cronq.monitoring.schedules import ScheduleView, views
from cronq.schedules.rule import tzdata_version
from cronq.store import Store
from cronq.times import SECOND, Clock, span, to_datetime

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cronq.monitoring.doctor.context import Installation

_MINUTE = 60.0
_CRITICAL = 1800.0


def schedules(installation: Installation) -> Iterator[Finding]:
    """Report what is wrong with each schedule; one finding if nothing is."""
    stats = installation.stats
    if stats is None or not stats.schedules:
        return
    # The open database is used as it is: doctor doesn't upgrade tables.
    store = Store(installation.config, Clock(), database=installation.database)
    store.synchronise()
    seen = views(store)
    workers = any(worker.kind == "work" for worker in stats.workers)
    found = [finding for view in seen for finding in _findings(view, workers=workers)]
    found += _time_zone_data(seen)
    yield from found
    if not found:
        due = [view.stored.due_at for view in seen if view.stored.due_at is not None]
        following = f", the next is due in {span(max(0.0, (min(due) - seen[0].now) / SECOND))}" if due else ""
        yield fine(f"{len(seen)} schedule{'' if len(seen) == 1 else 's'}{following}")


def _findings(view: ScheduleView, *, workers: bool) -> Iterator[Finding]:
    name = f"schedule {view.name}"
    if view.state == "unreadable":
        yield problem(
            f"{name} can't be fired on this host: {view.rule}",
            "install the time zones (tzdata) or upgrade cronq here; `cronq schedules sync` mends a damaged one",
        )
    if view.state == "late":
        kind = problem if view.late > _CRITICAL else warning
        yield kind(
            f"{name} is late: a due time waits for {span(view.late)}",
            f"see that `cronq run` is called each minute (`cronq why {view.name}` says more)",
        )
    if view.ahead:
        yield warning(
            f"{name} is silent for {span(view.ahead)}: it is decided up to {view.local(view.stored.last_at)},"
            " because a clock was ahead",
            f"set the clock of the database's host, then `cronq schedules reset {view.name}`",
        )
    if view.differing:
        yield warning(
            f"{name} is declared differently by {' and '.join(view.differing)}",
            "deploy the same code and configuration",
        )
    if not workers and _is_quick(view):
        yield warning(
            f"{name} is due more often than each minute, and no worker is there",
            "start `cronq work`: `cronq run` comes once a minute only",
        )


def _is_quick(view: ScheduleView) -> bool:
    """Tell whether the next two due times are less than a minute apart."""
    if view.definition is None or view.stored.next_at is None:
        return False
    following = view.definition.rule().next_after(to_datetime(view.stored.next_at))
    if following is None:
        return False
    return (following - to_datetime(view.stored.next_at)).total_seconds() < _MINUTE


def _time_zone_data(seen: Sequence[ScheduleView]) -> Iterator[Finding]:
    here = tzdata_version()
    newer = sorted({version for view in seen if (version := view.stored.tz_version) and here < version})
    if newer and here[:1].isdigit() and newer[-1][:1].isdigit():
        yield warning(
            f"time zone data of {os.uname().nodename} is {here}, another host has {newer[-1]}",
            "update tzdata here: due times may differ where a zone has changed its rules",
        )
