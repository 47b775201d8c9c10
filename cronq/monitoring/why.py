"""Explain in one sentence why a job isn't running, from its row and the state of the queue."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cronq.model.dependencies import UNMET, root_of
from cronq.model.job import COMMAND_TASK, State
from cronq.model.outcome import CRASH_LOOP
from cronq.monitoring import limits
from cronq.times import span, to_datetime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime, timedelta

    from cronq.flow.limit_views import Waiting
    from cronq.model.batch import BatchRow
    from cronq.model.job import Failure, Job
    from cronq.storage.actions import Action
    from cronq.storage.runs import RunEnd


_SHOWN = 3


class Busy(NamedTuple):
    """A job that occupies one of the children which could run the explained one."""

    id: int
    task: str
    since: datetime


class Facts(NamedTuple):
    """Facts about a job beside its own row; None means not known, or that there is none."""

    now: datetime
    paused: frozenset[str] = frozenset()
    paused_by: Action | None = None
    """The action that paused the job's queue."""
    last_action: Action | None = None
    """The last action on the job by hand."""
    looked_at: datetime | None = None
    """The time at which a run of this host last began."""
    commands_allowed: bool = True
    unclaimable: str | None = None
    """The warning about a value of its row, written by hand, because of which no runner claims it."""
    task_known: bool | None = None
    holder: Job | None = None
    """The job that holds the group."""
    runs_hidden: bool = False
    """Whether this user may not read when a run last began."""
    workers: int = 0
    """The number of live runners on all hosts."""
    listening: int = 0
    """The number of these that take jobs of the job's queue, without those that were stopped by a signal."""
    all_paused: bool = False
    """Whether all of these are paused."""
    pids_here: tuple[int, ...] = ()
    """The pids of these that are on this host."""
    stopped: tuple[int, ...] = ()
    """The pids of the runners on this host that take jobs of the queue and were stopped by a signal."""
    owner_stopped: int | None = None
    """The pid of a running job's runner, if a signal has stopped it."""
    owner_seen: datetime | None = None
    """The time of the last heartbeat of a running job's runner; None if it isn't registered."""
    lease: timedelta | None = None
    """The time for which a runner holds its jobs without a heartbeat."""
    outlived_by: str | None = None
    """The names of a running job's processes that still live although its child is dead: cronq may not kill them."""
    awaited: Job | None = None
    """The first job that it comes after and that has not ended."""
    awaited_batch: BatchRow | None = None
    """A batch that it comes after and that has not ended, if it comes after no such job."""
    awaited_more: int = 0
    """The number of further jobs and batches that it comes after and that have not ended."""
    circle: int | None = None
    """The id of the job to release, if jobs and batches wait for each other in a circle."""
    place: Waiting | None = None
    """The state of its limit, if it waits for a place."""
    unserved: frozenset[str] = frozenset()
    """The paused queues, and those of ready jobs with places there to which no worker listens."""
    ahead: int | None = None
    """The number of ready jobs of the queue that come before it."""
    busy: tuple[Busy, ...] = ()
    """The jobs that run on the workers of its queue, the oldest first."""
    failed_run: RunEnd | None = None
    """The last run that takes jobs of its queue, if it ended before it had done its work."""


def explain(job: Job, facts: Facts) -> str:
    """Return one sentence on the job's state and what it waits for."""
    explanation = _EXPLANATIONS.get(job.state, _unknown)
    sentence = f"ob {job.id} {explanation(job, facts)}{_by_hand(facts)}."
    if job.schedule is None:
        return f"J{sentence}"
    return f"From schedule {job.schedule}, due at {job.scheduled_for}: j{sentence}"


def _by_hand(facts: Facts) -> str:
    """Name the last action on the job by hand, and its author; empty for none, and if it was cancelled."""
    action = facts.last_action
    if action is None or action.verb == "cancelled":
        return ""
    return f"; it was {action.verb} by {action.who} at {_time(to_datetime(action.at))}"


def _unknown(job: Job, facts: Facts) -> str:
    del facts
    return f'has the state "{job.state}", which cronq doesn\'t know: no runner takes it, another program wrote that'


def _scheduled(job: Job, facts: Facts) -> str:
    if job.available_at <= facts.now:
        return _due(job, facts)
    return f"is scheduled: it is due at {_time(job.available_at)}, in {_span(facts.now, job.available_at)}"


def _retrying(job: Job, facts: Facts) -> str:
    tried = f"attempt {job.attempt} of {job.max_attempts} ended with {_error(job.error)}"
    if job.available_at <= facts.now:
        return f"is due for another attempt ({tried}); {_expected(job, facts)}"
    again = f"the next one is due at {_time(job.available_at)}, in {_span(facts.now, job.available_at)}"
    return f"is retrying: {tried}, {again}"


def _waiting(job: Job, facts: Facts) -> str:
    reason = "its task asked to be asked again" if job.error is None else _error(job.error)
    if facts.task_known and job.error is not None and job.error.kind == "UnknownTask":
        return f"is waiting: {_old_code(job)}"
    if job.available_at <= facts.now:
        return f"waited ({reason}) and is due; {_expected(job, facts)}"
    later = f"at {_time(job.available_at)}, in {_span(facts.now, job.available_at)}"
    return f"is waiting: {reason}; it is asked again {later}"


def _old_code(job: Job) -> str:
    """Explain that the configured app has the task, but the worker that had the job did not."""
    who = f"worker {job.worker} on {job.host}" if job.worker else "the worker that took it"
    return (
        f"{who} runs older code, which doesn't know task {_name(job.task)}; the configured app does:"
        f" `cronq reload-workers` has workers load it; the job is asked again at {_time(job.available_at)}"
    )


def _due(job: Job, facts: Facts) -> str:
    return f"is due since {_time(job.available_at)}; {_expected(job, facts)}"


def _expected(job: Job, facts: Facts) -> str:
    """Explain the first reason why a due job isn't started."""
    refused = _refused(job, facts)
    if refused is not None:
        return refused
    if facts.stopped and not facts.listening:
        return _stopped(job, facts)
    if not facts.listening and facts.failed_run is not None:
        return _run_failed(facts.failed_run)
    if not facts.listening and (facts.looked_at is None or facts.looked_at < job.available_at):
        return _no_runner(job, facts)
    if facts.listening and facts.all_paused:
        return _paused(job, facts)
    return _its_turn(job, facts)


def _stopped(job: Job, facts: Facts) -> str:
    number = len(facts.stopped)
    which = f"{_workers(number)} of queue {_name(job.queue)} {_is(number)}"
    return f"{which} stopped by a signal: `kill -CONT {_listed(facts.stopped)}` lets {_them(number)} go on"


def _paused(job: Job, facts: Facts) -> str:
    which = f"{_workers(facts.listening)} of queue {_name(job.queue)} {_is(facts.listening)}"
    here = len(facts.pids_here)
    if not here:
        return f"{which} paused (SIGCONT on its host resumes)"
    resumed = _them(here) if here == facts.listening else f"{here} of them, SIGCONT on its host each other one"
    return f"{which} paused: `kill -CONT {_listed(facts.pids_here)}` resumes {resumed}"


def _listed(numbers: Iterable[int]) -> str:
    return " ".join(map(str, numbers))


def _them(number: int) -> str:
    return "it" if number == 1 else "them"


def _refused(job: Job, facts: Facts) -> str | None:
    """Explain why no runner would start the job."""
    if facts.unclaimable is not None:
        option = _EDITS[facts.unclaimable.partition(" ")[0]]
        return f"no runner takes it: {facts.unclaimable}; `cronq edit {job.id} {option}` puts that right"
    if job.queue in facts.paused:
        by = f" by {facts.paused_by.who} since {_time(to_datetime(facts.paused_by.at))}" if facts.paused_by else ""
        return f"queue {_name(job.queue)} is paused{by}: `cronq resume {job.queue}`"
    if job.task == COMMAND_TASK and not facts.commands_allowed:
        return "shell commands are not allowed by this configuration (commands = true allows them)"
    if facts.task_known is False:
        return (
            f"task {_name(job.task)} is not known to the configured app: deploy the code that has it, then"
            " `cronq reload-workers`"
        )
    return None


_EDITS = {"queue": "--queue NAME", "priority": "--priority 50", "group": "--no-group"}


def _run_failed(run: RunEnd) -> str:
    which = f"`cronq run --queue {run.queues}`" if run.queues else "`cronq run`"
    how = f"ended at {_time(to_datetime(run.ended_at))} with status {run.status}: {(run.error or '').rstrip('.')}"
    return f"the last {which} on {run.host} {how}; mend that, then call it by hand to see that it works"


def _no_runner(job: Job, facts: Facts) -> str:
    """Explain that neither a run nor a worker has looked for it."""
    if facts.workers:
        others = f"{_workers(facts.workers)} {_is(facts.workers)} there for others"
        return f"no worker listens to queue {_name(job.queue)}: {others}; `cronq work --queue {job.queue}` starts one"
    if facts.looked_at is None and facts.runs_hidden:
        return "no worker is there, and whether cron calls is seen by the owner only: `cronq doctor` names the owner"
    if facts.looked_at is None:
        return f"no runner has looked yet (is `cronq run` in the crontab?); {_BY_HAND}"
    return f"no runner has looked since (the last one did at {_time(facts.looked_at)}); {_BY_HAND}"


_BY_HAND = "`cronq doctor` says why cron doesn't call, `cronq run` does it now"


def _its_turn(job: Job, facts: Facts) -> str:
    turn = f"it waits its turn in queue {_name(job.queue)} with priority {job.priority}"
    if facts.ahead:
        turn = f"{turn}, behind {'1 other' if facts.ahead == 1 else f'{facts.ahead} others'}"
    return f"{turn}{_busy(facts)}"


def _busy(facts: Facts) -> str:
    """Name the jobs that occupy the children, and the command that ends them."""
    if not facts.busy:
        return ""
    shown = facts.busy[:_SHOWN]
    told = [f"job {one.id} ({one.task}, since {_time(one.since)}, {_span(one.since, facts.now)})" for one in shown]
    more = f" and {len(facts.busy) - _SHOWN} more" if len(facts.busy) > _SHOWN else ""
    ends = f"`cronq cancel --kill {_listed(one.id for one in shown)}` ends {_them(len(shown))}"
    return f"; running before it: {', '.join(told)}{more}: {ends}"


def _workers(number: int) -> str:
    return "the only worker" if number == 1 else f"all {number} workers"


def _is(number: int) -> str:
    return "is" if number == 1 else "are"


def _blocked(job: Job, facts: Facts) -> str:
    group = f"group {_name(job.group or '')}"
    if job.blocked_by is None:
        return f"is blocked: {group} was held a moment ago; {_expected(job, facts)}"
    holder = f"job {job.blocked_by}"
    if facts.holder is None:
        return f"is blocked: {group} is held by {holder}"
    return f"is blocked: {group} is held by {holder}, which {_holding(facts.holder)}"


def _pending(job: Job, facts: Facts) -> str:
    more = f", and {facts.awaited_more} more" if facts.awaited_more else ""
    if facts.circle is not None:
        more += (
            f"; these wait for each other in a circle: `cronq release {facts.circle}` lets job {facts.circle} go"
            " without what it waits for"
        )
    if facts.awaited_batch is not None:
        return f"is pending: it comes after {_batch(facts.awaited_batch)}{more}"
    if facts.awaited is None and facts.place is not None:
        return f"is pending: {limits.explain(facts.place, facts.unserved, facts.now)}"
    if facts.awaited is None:
        return f"is pending: all that it comes after has ended, so the next run releases it; {_expected(job, facts)}"
    return f"is pending: it comes after job {facts.awaited.id}, which {_holding(facts.awaited)}{more}"


def _batch(batch: BatchRow) -> str:
    if batch.closed_at is not None:
        return f"{batch.label}, of which jobs have not ended: `cronq ls --batch {batch.id}`"
    opened = f"which {batch.opened_by} opened at {_time(to_datetime(batch.opened_at))} and has not closed"
    return f"{batch.label}, {opened}: `cronq batch close {batch.id}`"


def _holding(holder: Job) -> str:
    if holder.state == State.FAILED:
        return f"failed and keeps the group: `cronq retry {holder.id}` or `cronq cancel {holder.id}`"
    if holder.state in (State.RETRYING, State.WAITING):
        return f"is {holder.state} until {_time(holder.available_at)}"
    return f"is {holder.state}"


def _running(job: Job, facts: Facts) -> str:
    where = f" on {job.host}" if job.host else ""
    process = f" as process {job.pid}" if job.pid is not None else ""
    attempt = f"attempt {job.attempt} of {job.max_attempts}"
    if facts.outlived_by:
        return (
            f"is running{where} ({attempt}): its own process is dead, and it is not started again before"
            f" {facts.outlived_by} has ended, which cronq may not kill"
        )
    if job.started_at is None:
        return f"is claimed{where} and about to start ({attempt})"
    since = f"since {_time(job.started_at)}, for {_span(job.started_at, facts.now)}"
    return f"is running{where}{process} {since} ({attempt}){_silence(facts)}"


def _silence(facts: Facts) -> str:
    if facts.owner_stopped is not None:
        pid = facts.owner_stopped
        return f"; its runner, process {pid}, is stopped by a signal: `kill -CONT {pid}` lets it go on"
    if facts.owner_seen is None or facts.lease is None or facts.now - facts.owner_seen <= facts.lease:
        return ""
    return (
        f"; its runner has sent no heartbeat since {_time(facts.owner_seen)}, so the next one on that host,"
        " or any one when the lease ends, rescues the job"
    )


def _finished(job: Job, facts: Facts) -> str:
    del facts
    warned = f" with a warning: {job.warnings[0]}" if job.warnings else ""
    return f"has finished{_at(job)}{warned}"


def _failed(job: Job, facts: Facts) -> str:
    del facts
    attempts = "1 attempt" if job.attempt == 1 else f"{job.attempt} attempts"
    again = f"`cronq retry {job.id}` tries it again"
    if job.error is not None and job.error.kind == CRASH_LOOP:
        return f"failed for good{_at(job)}: {_error(job.error)}; {again}"
    return f"failed for good{_at(job)} after {attempts}: {_error(job.error)}; {again}"


def _cancelled(job: Job, facts: Facts) -> str:
    action = facts.last_action
    by = f" by {action.who}" if action is not None and action.verb == "cancelled" else ""
    reason = "" if job.error is None else f": {job.error.message.rstrip('.')}"
    return f"was cancelled{_at(job)}{by}{reason}{_way_back(job)}"


def _way_back(job: Job) -> str:
    if job.error is None or job.error.kind != UNMET:
        return ""
    root = root_of(job.error.message)
    if root is None:
        return f"; `cronq release {job.id}` runs it all the same"
    return f"; `cronq retry {root}` puts both back"


_EXPLANATIONS: dict[str, Callable[[Job, Facts], str]] = {
    State.SCHEDULED: _scheduled,
    State.READY: _due,
    State.BLOCKED: _blocked,
    State.PENDING: _pending,
    State.RUNNING: _running,
    State.RETRYING: _retrying,
    State.WAITING: _waiting,
    State.FINISHED: _finished,
    State.FAILED: _failed,
    State.CANCELLED: _cancelled,
}


def _at(job: Job) -> str:
    return "" if job.finished_at is None else f" at {_time(job.finished_at)}"


def _error(error: Failure | None) -> str:
    return "an unknown error" if error is None else f"{error.kind}: {error.message.rstrip('.')}"


def _name(text: str) -> str:
    return f'"{text}"'


def _time(when: datetime) -> str:
    return when.strftime("%Y-%m-%d %H:%M:%S UTC")


def _span(start: datetime, end: datetime) -> str:
    return span(max(0.0, round((end - start).total_seconds())))
