"""Read the state of schedules, with their last decisions and declarations, and explain why one doesn't run."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from cronq.errors import ConfigError
from cronq.model.job import DEFAULT_QUEUE, ENDED, State
from cronq.model.schedule import ENQUEUED, MISSED, SKIPPED
from cronq.schedules.declaring import DAY, HOUR
from cronq.schedules.definition import Definition
from cronq.storage.declarations import is_fresh
from cronq.times import SECOND, from_datetime, in_zone, iso, span

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cronq.model.job import Job
    from cronq.model.schedule import Decided, Declaration, StoredSchedule
    from cronq.store import Store

_UNFINISHED = re.compile(r"job (\d{1,19}) is unfinished")

LATE = 300 * SECOND
"""Microseconds after which a schedule is late: nothing has decided a due time for so long."""

AHEAD = 60 * SECOND
"""Microseconds: a watermark further ahead of the clock than this makes a schedule silent."""


class ScheduleView(NamedTuple):
    """A schedule at the instant `now`, with its last decision and its declarations."""

    stored: StoredSchedule
    definition: Definition | None
    """None where this version of cronq, or this host, can't read it."""
    rule: str
    """The rule in words, or the error if the definition can't be read."""
    last: Decided | None
    declarations: Sequence[Declaration]
    now: int

    @property
    def name(self) -> str:
        """The name of the schedule."""
        return self.stored.name

    @property
    def zone(self) -> str:
        """The name of its time zone; empty if the definition can't be read."""
        return self.definition.timezone if self.definition else ""

    @property
    def hosts(self) -> list[str]:
        """The hosts that declare it and were seen lately."""
        return [one.host for one in self.declarations if is_fresh(one, self.now - DAY)]

    @property
    def late(self) -> float:
        """The seconds for which a due time has waited to be decided; 0 if none waits."""
        due = self.stored.due_at
        return 0.0 if due is None else max(0.0, (self.now - due) / SECOND)

    @property
    def ahead(self) -> float:
        """The seconds for which it is silent because its watermark is ahead of the clock, else 0."""
        last = self.stored.last_at
        return 0.0 if last is None or last <= self.now + AHEAD else (last - self.now) / SECOND

    @property
    def differing(self) -> list[str]:
        """The hosts that declare it, if their declarations have differed for an hour: longer than a deploy takes."""
        fresh = [one for one in self.declarations if is_fresh(one, self.now - DAY)]
        changed_at = max((one.declared_at or 0 for one in fresh), default=0)
        differ = len({one.definition_hash for one in fresh}) > 1 and changed_at <= self.now - HOUR
        return [one.host for one in fresh] if differ else []

    @property
    def state(self) -> str:
        """The state in one word: active, late, paused, disabled, over, undeclared or unreadable."""
        checks = (
            ("unreadable", self.definition is None),
            ("undeclared", not self.hosts and self.stored.next_at is None),
            ("paused", self.stored.is_paused(self.now)),
            ("disabled", self.definition is not None and not self.definition.enabled),
            ("over", self.stored.next_at is None),
            ("late", self.late * SECOND > LATE),
        )
        return next((state for state, holds in checks if holds), "active")

    def to_json(self) -> dict[str, Any]:
        """Return the schedule with its documented field names."""
        stored, definition = self.stored, self.definition
        paused = {"at": _iso(stored.paused_at), "until": _iso(stored.paused_until), "by": stored.paused_by}
        return {
            "name": self.name,
            "rule": self.rule,
            "cron": list(definition.cron) if definition else [],
            "every": definition.every if definition else None,
            "timezone": self.zone or None,
            "task": definition.task if definition else None,
            "queue": definition.queue if definition else None,
            "state": self.state,
            "next_at": _iso(stored.next_at),
            "due_at": _iso(stored.due_at),
            "decided_until": _iso(stored.last_at),
            "late": round(self.late, 6),
            "last": self.last and decision_json(self.last),
            "paused": {**paused, "reason": stored.reason} if stored.is_paused(self.now) else None,
            "declared_by": self.hosts,
            "tzdata": stored.tz_version,
        }

    def local(self, instant: int | None) -> str:
        """Return an instant as local time in the schedule's zone: `2026-03-29 03:00:00+02:00`.

        Empty for None, or if the definition can't be read.
        """
        if instant is None or self.definition is None:
            return ""
        return in_zone(instant // SECOND * SECOND, self.zone).partition("[")[0].replace("T", " ")


def decision_json(decided: Decided) -> dict[str, Any]:
    """Return a row of the ledger with its documented field names."""
    return {
        "schedule": decided.schedule,
        "due_at": iso(decided.fire_at),
        "since": iso(decided.since),
        "count": decided.times,
        "outcome": decided.outcome,
        "reason": decided.reason,
        "job_id": decided.job_id,
        "late": decided.late / SECOND,
        "host": decided.host,
        "decided_at": iso(decided.decided_at),
    }


def _iso(instant: int | None) -> str | None:
    return None if instant is None else iso(instant)


def views(store: Store, names: Sequence[str] | None = None) -> list[ScheduleView]:
    """Read all schedules, or those named, in the order of their names."""
    now = store.tell_time()
    said: dict[str, list[Declaration]] = {}
    for declaration in store.schedules.declarations.all():
        said.setdefault(declaration.name, []).append(declaration)
    last = {decided.schedule: decided for decided in store.schedules.last_decisions()}
    return [
        ScheduleView(stored, *_read(stored), last.get(stored.name), said.get(stored.name, []), now)
        for stored in store.schedules.all()
        if names is None or stored.name in names
    ]


def _read(stored: StoredSchedule) -> tuple[Definition | None, str]:
    try:
        definition = Definition.from_json(stored.name, stored.definition)
        return definition, definition.rule().words()
    except ConfigError as error:
        return None, str(error)


def explain(
    view: ScheduleView, *, looked_at: int | None = None, queue_paused: bool = False, blocker: Job | None = None
) -> str:
    """Explain in one sentence when the schedule runs next, and what keeps it from running.

    `looked_at` is the instant at which a run last began, `blocker` the job because of which the last due time was
    skipped.
    """
    paused = f'; queue "{queue_of(view)}" is paused' if queue_paused else ""
    return f'Schedule "{view.name}" {_explained(view, looked_at)}{_last_decision(view, blocker)}{paused}.'


def queue_of(view: ScheduleView) -> str:
    """Return the queue of the schedule's jobs."""
    return (view.definition and view.definition.queue) or DEFAULT_QUEUE


def blocker_of(view: ScheduleView) -> int | None:
    """Return the id of the unfinished job because of which the last due time was skipped; None without such a job."""
    found = _UNFINISHED.fullmatch((view.last and view.last.reason) or "")
    return int(found[1]) if found else None


def _explained(view: ScheduleView, looked_at: int | None) -> str:
    stored = view.stored
    sentences = {
        "unreadable": f"can't be fired here: {view.rule}",
        "undeclared": "has no due times: no host declares it any more",
        "paused": _paused(view),
        "disabled": "is disabled (enabled = false)",
        "over": "is over: it has no further due time",
        "late": f"is late: it was due at {view.local(stored.due_at)}, {_looked(view, looked_at)}",
    }
    sentence = sentences.get(view.state)
    if sentence is None and view.ahead:
        sentence = (
            f"is silent until {view.local(stored.last_at)}, for {span(view.ahead)}: the clock was put back, or was"
            f" ahead; `cronq schedules reset {view.name}` starts it from now"
        )
    return sentence or _due(view)


def _due(view: ScheduleView) -> str:
    when, due = view.local(view.stored.due_at), view.stored.due_at or 0
    if due <= view.now:
        return f"is due since {when}: the next run, or a worker, decides it"
    return f"is not due before {when}, in {span((due - view.now) / SECOND)}"


def _paused(view: ScheduleView) -> str:
    stored = view.stored
    until = f" until {view.local(stored.paused_until)}" if stored.paused_until is not None else ""
    reason = f": {stored.reason}" if stored.reason else ""
    return f"is paused by {stored.paused_by} since {view.local(stored.paused_at)}{until}{reason}"


def _looked(view: ScheduleView, looked_at: int | None) -> str:
    if looked_at is None:
        return "and no run has looked yet (is `cronq run` in the crontab?)"
    if looked_at < (view.stored.due_at or 0):
        return f"and no run has looked since {view.local(looked_at)}"
    return f"a run looked at {view.local(looked_at)} but didn't decide it (`cronq doctor` says more)"


def _last_decision(view: ScheduleView, blocker: Job | None) -> str:
    last = view.last
    if last is None:
        return ""
    when = view.local(last.fire_at)
    if last.outcome == ENQUEUED:
        return f"; job {last.job_id} was enqueued for {when}"
    if last.outcome == SKIPPED:
        why = f", because {_unfinished(view, blocker)}" if blocker else f": {last.reason}"
        return f"; {_due_times(last)} up to {when} skipped{why}"
    between = f"between {view.local(last.since)} and {view.local(last.decided_at)}"
    return f"; {_due_times(last)} up to {when} {MISSED}, no run looked {between}"


def _unfinished(view: ScheduleView, job: Job) -> str:
    if job.state == State.RUNNING and job.started_at is not None:
        return f"job {job.id} runs since {view.local(from_datetime(job.started_at))}"
    return f"job {job.id} {'had not ended' if job.state in ENDED else f'is {job.state}'}"


def _due_times(decided: Decided) -> str:
    return "1 due time" if decided.times == 1 else f"{decided.times} due times"
