"""Describe what is wrong with the queue: one sentence for each problem, the most urgent first, and what helps."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any, NamedTuple

from cronq.model.job import Failure
from cronq.render.text import last_line
from cronq.times import iso, span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from cronq.storage.failure_groups import FailureGroup
    from cronq.storage.held_groups import HeldGroup
    from cronq.storage.stats import QueueStats

PROBLEM, WARNING = "problem", "warning"
_OLD = 300.0
_MANY_FAILURES = 3
_MANY_LIMITS = 10
_LONGEST = 160


class Help(NamedTuple):
    """A remedy: a page to look at, a change with its fields, or only a command."""

    label: str
    command: str | None = None
    page: tuple[str, Mapping[str, Any]] | None = None
    """The endpoint and its parameters."""
    action: tuple[str, Mapping[str, str]] | None = None
    """The verb and the fields of its form."""


class Sentence(NamedTuple):
    """A problem in one sentence, with its level and its remedies."""

    level: str
    text: str
    helps: Sequence[Help] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the sentence with its documented field names."""
        return {"level": self.level, "text": self.text, "commands": [one.command for one in self.helps if one.command]}


class Condition(NamedTuple):
    """The state of the queue that the sentences describe."""

    stats: QueueStats
    failures: Sequence[FailureGroup] = ()
    held: Sequence[HeldGroup] = ()


def diagnose(seen: Condition) -> list[Sentence]:
    """Return a sentence for each problem, problems before warnings; none if nothing is wrong."""
    found = [sentence for check in _CHECKS for sentence in check(seen)]
    return sorted(found, key=lambda one: one.level != PROBLEM)


def _runs(seen: Condition) -> Iterator[Sentence]:
    for run in seen.stats.failing_runs:
        what = f"`cronq run --queue {run.queues}`" if run.queues else "`cronq run`"
        ago = span(seen.stats.age(run.ended_at) or 0.0)
        text = f"The last {what} on {run.host} ended {ago} ago with status {run.status}: {_cut(run.error or '')}"
        yield Sentence(PROBLEM, text, [Help("find the cause", "cronq doctor")])


def _due(seen: Condition) -> Iterator[Sentence]:
    stats = seen.stats
    for queue, since in sorted(stats.due_since.items(), key=lambda item: item[1]):
        age = stats.age(since) or 0.0
        if queue in stats.paused or age <= _OLD:
            continue
        oldest = f"Queue {queue}: the oldest job has been due for {span(age)}"
        jobs = Help("see its jobs", page=("jobs", {"queue": queue, "state": "ready"}))
        listening = len(stats.listeners(queue))
        if listening:
            ready = stats.total("ready", [queue])
            workers = "1 worker listens" if listening == 1 else f"{listening} workers listen"
            more = Help("add a worker", _command("work", "--queue", queue))
            yield Sentence(WARNING, f"{oldest}; {workers} to it, {ready:,} jobs are ready.", [more, jobs])
        else:
            yield Sentence(PROBLEM, f"{oldest}; {_unserved(stats)}.", [_start(queue), jobs])


def _unserved(stats: QueueStats) -> str:
    if stats.workers:
        return "no worker listens to it"
    if stats.last_run is None:
        return "no worker is there, and no run has looked yet on this host (is `cronq run` in the crontab?)"
    return f"no worker is there, and the last run on this host was {span(stats.age(stats.last_run) or 0.0)} ago"


def _start(queue: str) -> Help:
    return Help("run it now", _command("run", "--queue", queue))


def _paused(seen: Condition) -> Iterator[Sentence]:
    stats = seen.stats
    for queue in sorted(stats.paused):
        action = stats.paused_by.get(queue)
        by = "" if action is None else f" by {action.who}, {span(stats.age(action.at) or 0.0)} ago"
        due = stats.total("ready", [queue])
        waiting = f"{_jobs(due)} of it are due" if due != 1 else "1 job of it is due"
        resume = Help("Resume", _command("resume", queue), action=("resume", {"queue": queue}))
        text = f"Queue {queue} is paused{by}; {waiting if queue in stats.due_since else 'nothing is due in it'}."
        yield Sentence(PROBLEM if queue in stats.due_since else WARNING, text, [resume])


def _held(seen: Condition) -> Iterator[Sentence]:
    for group in seen.held:
        number = "1 job waits" if group.blocked == 1 else f"{group.blocked:,} jobs wait"
        text = f"Group {group.name}: {number} behind job {group.holder}, which failed and keeps the group."
        holder = {"id": str(group.holder)}
        yield Sentence(
            PROBLEM,
            text,
            [
                Help("Retry it", f"cronq retry {group.holder}", action=("retry", holder)),
                Help("Cancel it", f"cronq cancel {group.holder}", action=("cancel", holder)),
                Help("see it", page=("job", {"job_id": group.holder})),
            ],
        )


def _full(seen: Condition) -> Iterator[Sentence]:
    stats = seen.stats
    for limit in stats.waiting_limits[:_MANY_LIMITS]:
        waited = limit.waited(stats.now)
        if waited <= _OLD or not limit.is_full:
            continue
        waiting = "1 job waits" if limit.pending == 1 else f"{limit.pending:,} jobs wait"
        places = "its place is taken" if limit.bounds.concurrency == 1 else f"all {limit.taken:,} places are taken"
        more = (limit.bounds.concurrency or 0) + 1
        look = Help("see which jobs have the places, and set it", page=("limit", {"name": limit.name}))
        yield Sentence(
            WARNING,
            f"Limit {limit.name} is full: {places}, {waiting}, the first for {span(waited)}.",
            [look, Help("set it", _command("limits", "set", limit.name, str(more)))],
        )


def _left_open(seen: Condition) -> Iterator[Sentence]:
    for batch, idle_since in seen.stats.batches.left_open:
        idle = span(seen.stats.age(idle_since) or 0.0)
        text = f"{batch.title} was left open by {batch.opened_by}: nothing has happened to it for {idle}."
        close = Help("Close it", _command("batch", "close", str(batch.id)), action=("close-batch", _id(batch.id)))
        yield Sentence(WARNING, text, [close, Help("see it", page=("batch", {"batch_id": batch.id}))])


def _id(one: int) -> dict[str, str]:
    return {"id": str(one)}


def _failing(seen: Condition) -> Iterator[Sentence]:
    worst = sorted(seen.failures, key=lambda one: (-one.failed, -one.jobs))
    for one in worst[:_MANY_FAILURES]:
        told = _cut(last_line(Failure(one.error_class, one.message)))
        since = span(seen.stats.age(one.first_seen) or 0.0)
        how = f"{_jobs(one.failed)} of {one.task} failed for good" if one.failed else _retried(one)
        retry = Help(
            f"Retry {'it' if one.jobs == 1 else 'all'}",
            f"cronq retry --error {one.fingerprint}",
            action=("retry", {"error": one.fingerprint, "state": "failed,retrying"}),
        )
        level = PROBLEM if one.failed else WARNING
        yield Sentence(level, f"{how}, the first {since} ago: {told}", [retry, _LOOK])
    left = sum(one.jobs for one in worst[_MANY_FAILURES:])
    if left:
        yield Sentence(WARNING, f"{_jobs(left)} more {'fails' if left == 1 else 'fail'} for other reasons.", [_LOOK])


_LOOK = Help("look at them", page=("failures", {}))


def _retried(one: FailureGroup) -> str:
    return f"{_jobs(one.jobs)} of {one.task} failed and {'is' if one.jobs == 1 else 'are'} tried again"


def _silent(seen: Condition) -> Iterator[Sentence]:
    for worker in seen.stats.silent:
        age = span(seen.stats.age(worker.seen_at) or 0.0)
        text = f"Worker {worker.name} on {worker.host} (process {worker.pid}) sent no heartbeat for {age}."
        yield Sentence(WARNING, text, [Help("see the workers", page=("workers", {}))])


def _schedules(seen: Condition) -> Iterator[Sentence]:
    for one in seen.stats.schedules:
        page = Help("see the schedules", page=("schedules", {}))
        why = Help("say why", _command("why", one.name))
        if one.late > _OLD and not one.paused:
            yield Sentence(PROBLEM, f"Schedule {one.name} is late by {span(one.late)}.", [why, page])
        if one.failing:
            last = "it never succeeded" if one.succeeded_at is None else f"the last success was {iso(one.succeeded_at)}"
            yield Sentence(PROBLEM, f"Schedule {one.name} has had no success for too long; {last}.", [why, page])
        if one.missed:
            times = "1 due time" if one.missed == 1 else f"{one.missed} due times"
            command = _command("schedules", "missed", one.name)
            yield Sentence(
                WARNING, f"Schedule {one.name} missed {times} within a day.", [Help("list them", command), page]
            )


_CHECKS: Sequence[Callable[[Condition], Iterator[Sentence]]] = (
    _runs, _due, _held, _failing, _paused, _full, _schedules, _left_open, _silent,
)  # fmt: skip


def _command(*words: str) -> str:
    return shlex.join(("cronq", *words))


def _jobs(number: int) -> str:
    return "1 job" if number == 1 else f"{number:,} jobs"


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
