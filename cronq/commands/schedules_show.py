"""Show schedules: the list of `cronq schedules`, `cronq schedules show` and `cronq schedules missed`."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cronq.commands import options as given
from cronq.commands.fast_options import positive
from cronq.model.schedule import ENQUEUED
from cronq.times import SECOND, from_datetime, iso, parse_duration, span, to_datetime

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cronq.model.job import Job
    from cronq.model.schedule import Decided
    from cronq.monitoring.schedules import ScheduleView
    from cronq.render.relative_time import Ages
    from cronq.store import Store

_SHOW_EXAMPLE = """\
Example:

\b
  cronq schedules show report.daily

Exit status: 0 done, 1 no such schedule, 65 bad input, 69 database out of reach, 78 configuration.
"""

_MISSED_EXAMPLE = """\
Example:

\b
  cronq schedules missed --since 30d
  cronq schedules missed report.daily --json

Exit status: 0 done, 1 no such schedule, 65 bad input, 69 database out of reach, 78 configuration.
"""

_LOOKED_BACK = 100
"""Maximum number of jobs, the newest ones, from which the mean duration is computed."""

Name = Annotated[str, typer.Argument(metavar="NAME", help="The name of a schedule.", show_default=False)]
AnyName = Annotated[str | None, typer.Argument(metavar="NAME", help="Only this schedule's.", show_default=False)]


def print_list(context: typer.Context, *, utc: bool = False, as_json: bool = False) -> None:
    """Print all schedules: as JSON, as lines for a pipe, as a table on a terminal."""
    from cronq.monitoring.schedules import views
    from cronq.render.text import document, on_terminal, write

    with given.invocation(context).store(reading=True) as store:
        seen = views(store)
        now = given.now(store)
    if as_json:
        write([document([view.to_json() for view in seen])])
    elif on_terminal():
        from cronq.render.relative_time import Ages, TimeStyle

        _print_table(seen, Ages(now, TimeStyle.of(utc=utc)))
    else:
        from cronq.render.tsv import tabbed

        write(tabbed(*_cells(view)) for view in seen)


def _cells(view: ScheduleView) -> tuple[str, ...]:
    due = view.stored.due_at
    return view.name, view.rule, view.zone, _last(view.last), "" if due is None else iso(due), view.state


def _last(last: Decided | None) -> str:
    if last is None:
        return ""
    job = f" job {last.job_id}" if last.job_id is not None else ""
    times = f" {last.times} times" if last.times > 1 else ""
    return f"{iso(last.fire_at)[:19]}Z {last.outcome}{job}{times}"


_COLOURS = {"active": "green", "late": "bold red", "unreadable": "bold red", "paused": "yellow"}


def _print_table(seen: Sequence[ScheduleView], ages: Ages) -> None:
    from cronq.render.console import Screen

    screen = Screen()
    if not seen:
        screen.print('no schedules: declare them as [schedules."name"] in cronq.toml, or with @queue.cron')
        return
    table = screen.table("name", "rule", "last", "next", "state")
    for view in seen:
        last = "" if view.last is None else f"{view.last.outcome} {ages.ago(to_datetime(view.last.fire_at))}"
        due = "" if view.stored.due_at is None else ages.until(to_datetime(view.stored.due_at))
        style = _COLOURS.get(view.state, "dim")
        table.add_row(
            screen.cell(view.name), screen.cell(view.rule), screen.cell(last), screen.cell(due),
            screen.cell(view.state, style=style),
        )  # fmt: skip
    screen.print(table)


def _show(context: typer.Context, name: Name, *, as_json: given.AsJson = False) -> None:
    """Show one schedule: definition, who declares it, decisions, jobs and their mean duration."""
    from cronq.render.text import document, write

    with given.invocation(context).store(reading=True) as store:
        view = require(store, name)
        past = _Past(store, view)
    if as_json:
        write([document(_whole(view, past))])
    else:
        write(_page(view, past))


class _Past:
    """The last decisions of a schedule, their jobs, the job that blocked the last one, and the mean duration."""

    def __init__(self, store: Store, view: ScheduleView) -> None:
        from cronq.monitoring.schedules import blocker_of

        self.decisions = store.schedules.ledger(view.name, limit=10)
        found = (store.jobs.get(one.job_id) for one in self.decisions if one.job_id is not None)
        self.jobs = {job.id: job for job in found if job is not None}
        blocker = blocker_of(view)
        self.blocker = None if blocker is None else store.jobs.get(blocker)
        self.duration = _mean_duration(store, view.name)


def require(store: Store, name: str) -> ScheduleView:
    """Return the schedule of this name. Raises JobNotFound, with a suggestion."""
    from cronq.errors import JobNotFound
    from cronq.monitoring.schedules import views

    found = views(store, [name])
    if not found:
        known = [schedule.name for schedule in store.schedules.all()]
        raise JobNotFound(f"there is no schedule {name!r}{given.suggestion(name, known)}")
    return found[0]


def _mean_duration(store: Store, name: str) -> float | None:
    taken = [
        (one.finished_at - one.started_at) / SECOND
        for one in store.schedules.outcomes(name, limit=_LOOKED_BACK)
        if one.state == "finished" and one.started_at is not None and one.finished_at is not None
    ]
    return statistics.fmean(taken) if taken else None


def _whole(view: ScheduleView, past: _Past) -> dict[str, Any]:
    import json

    from cronq.monitoring.schedules import decision_json

    said = [
        {"host": one.host, "source": one.source, "seen_at": iso(one.seen_at), "same": _is_same(view, one)}
        for one in view.declarations
    ]
    return {
        **view.to_json(),
        "definition": json.loads(view.stored.definition),
        "declarations": said,
        "decisions": [decision_json(one) for one in past.decisions],
        "jobs": [_job_json(job) for job in past.jobs.values()],
        "mean_duration": past.duration,
    }


def _job_json(job: Job) -> dict[str, Any]:
    started, finished = (None if at is None else iso(from_datetime(at)) for at in (job.started_at, job.finished_at))
    return {"id": job.id, "state": job.state, "started_at": started, "finished_at": finished}


def _is_same(view: ScheduleView, declaration: Any) -> bool:
    from cronq.schedules.definition import hash_of

    return bool(declaration.definition_hash == hash_of(view.stored.definition))


def _page(view: ScheduleView, past: _Past) -> list[str]:
    from cronq.monitoring.schedules import explain

    lines = [explain(view, blocker=past.blocker), ""]
    facts = {
        "rule": view.rule,
        "zone": view.zone,
        "definition": view.stored.definition,
        "next": _both(view, view.stored.next_at),
        "decided until": _both(view, view.stored.last_at),
        "mean duration": "" if past.duration is None else span(past.duration),
    }
    lines += [f"{title + ':':<15}{text}" for title, text in facts.items() if text]
    for one in view.declarations:
        differs = "" if _is_same(view, one) else ", which says something else"
        lines.append(f"{'declared by:':<15}{one.host} ({one.source}){differs}, seen {iso(one.seen_at)[:19]}Z")
    lines += [f"{'decision:':<15}{decision_line(view, one, past.jobs)}" for one in past.decisions]
    return lines


def _both(view: ScheduleView, instant: int | None) -> str:
    return "" if instant is None else f"{view.local(instant)} ({iso(instant)[:19]}Z)"


def decision_line(view: ScheduleView, decided: Decided, jobs: Mapping[int, Job]) -> str:
    """Write one decision on one line: due time, outcome, job with its state, reason."""
    since = f"{view.local(decided.since)} to " if decided.times > 1 else ""
    times = f" ({decided.times} due times)" if decided.times > 1 else ""
    job = "" if decided.job_id is None else f" job {decided.job_id} ({_state(jobs.get(decided.job_id))})"
    why = f": {decided.reason}" if decided.reason else ""
    return f"{since}{view.local(decided.fire_at)}{times} {decided.outcome}{job}{why}"


def _state(job: Job | None) -> str:
    if job is None:
        return "cleared"
    if job.started_at is None or job.finished_at is None:
        return job.state
    return f"{job.state} after {span((job.finished_at - job.started_at).total_seconds())}"


def _missed(
    context: typer.Context,
    name: AnyName = None,
    *,
    since: Annotated[str, typer.Option("--since", metavar="D", help="How far to look back.")] = "7d",
    limit: Annotated[str, typer.Option("--limit", metavar="N", help="Maximum number for each schedule.")] = "100",
    as_json: given.AsJson = False,
) -> None:
    """List the due times for which no job was enqueued: missed or skipped, and why."""
    from cronq.monitoring.schedules import decision_json, views
    from cronq.render.text import document, write
    from cronq.render.tsv import tabbed

    back, most = round(parse_duration(since, what="--since") * SECOND), positive(limit, what="--limit") or 100
    with given.invocation(context).store(reading=True) as store:
        names = None if name is None else [require(store, name).name]
        found = [
            (view, decided)
            for view in views(store, names)
            for decided in store.schedules.ledger(view.name, since=store.clock.now() - back, limit=most)
            if decided.outcome != ENQUEUED
        ]
    if as_json:
        write([document([decision_json(decided) for _, decided in found])])
    else:
        write(tabbed(*_missed_cells(view, decided)) for view, decided in found)


def _missed_cells(view: ScheduleView, decided: Decided) -> tuple[str, ...]:
    return (
        view.name, view.local(decided.since), view.local(decided.fire_at), str(decided.times), decided.outcome,
        decided.reason or "",
    )  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add the commands to those on schedules."""
    app.command("show", epilog=_SHOW_EXAMPLE)(_show)
    app.command("missed", epilog=_MISSED_EXAMPLE)(_missed)
