"""Write the queue's metrics in the text format of Prometheus: base units, no timestamps."""

from __future__ import annotations

from cronq.model.claimed_job import State
from cronq.model.printable import safe
from cronq.times import SECOND

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cronq.storage.stats import QueueStats, RecentStats

    Labels = Mapping[str, str]
    Sample = tuple[Labels, float]

STATES = tuple(state.value for state in State)


class Exposition:
    """Collects metrics with their HELP and TYPE."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def __str__(self) -> str:
        """Return the text, ended by a newline."""
        return "".join(f"{line}\n" for line in self._lines)

    def gauge(self, name: str, help_text: str, samples: Iterable[Sample]) -> None:
        """Add one metric that rises and falls; without samples it is left out."""
        self._add("gauge", name, help_text, samples)

    def counter(self, name: str, help_text: str, samples: Iterable[Sample]) -> None:
        """Add one metric that only rises; without samples it is left out."""
        self._add("counter", name, help_text, samples)

    def _add(self, kind: str, name: str, help_text: str, samples: Iterable[Sample]) -> None:
        found = list(samples)
        if found:
            self._lines += [f"# HELP {name} {help_text}", f"# TYPE {name} {kind}"]
            self._lines += [f"{name}{_labels(labels)} {_number(value)}" for labels, value in found]


def expose(stats: QueueStats, recent: RecentStats, *, version: str, database: str) -> str:
    """Write the text for one scrape."""
    text = Exposition()
    text.gauge(
        "cronq_info", "Version of cronq and kind of database.", [({"version": version, "database": database}, 1)]
    )
    _jobs(text, stats)
    _ages(text, stats)
    _workers(text, stats)
    _schedules(text, stats)
    _limits(text, stats)
    _batches(text, stats)
    _recent(text, recent)
    return str(text)


def _jobs(text: Exposition, stats: QueueStats) -> None:
    counted = {(queue, state): number for queue, state, number in stats.counts}
    text.gauge(
        "cronq_jobs",
        "Jobs by queue and state.",
        [
            ({"queue": queue, "state": state}, counted.get((queue, state), 0))
            for queue in stats.queues
            for state in STATES
        ],
    )
    paused = [({"queue": queue}, float(queue in stats.paused)) for queue in stats.queues]
    text.gauge("cronq_queue_paused", "Whether the queue is paused.", paused)


def _ages(text: Exposition, stats: QueueStats) -> None:
    ages = [({"queue": queue}, stats.age(stats.due_since.get(queue)) or 0.0) for queue in stats.queues]
    text.gauge("cronq_oldest_due_age_seconds", "How long the oldest due job has been waiting, 0 if none is due.", ages)
    if stats.last_run is not None:
        text.gauge(
            "cronq_last_run_timestamp_seconds",
            "When a run last began on this host.",
            [({}, stats.last_run / SECOND)],
        )
        text.gauge("cronq_run_active", "Whether a run is at work on this host.", [({}, float(stats.run_is_on))])
    failing = [({"host": run.host, "queues": run.queues}, float(run.status)) for run in stats.failing_runs]
    text.gauge("cronq_failing_run_status", "Exit status of the last run, where it failed.", failing)


def _workers(text: Exposition, stats: QueueStats) -> None:
    numbers: dict[tuple[str, str], int] = dict.fromkeys(
        [(kind, "running") for kind in ("run", "serve-inetd", "work")], 0
    )
    for worker in stats.workers:
        numbers[worker.kind, worker.state] = numbers.get((worker.kind, worker.state), 0) + 1
    samples = [({"kind": kind, "state": state}, number) for (kind, state), number in sorted(numbers.items())]
    text.gauge("cronq_workers", "Workers with a heartbeat within the length of a lease.", samples)


def _schedules(text: Exposition, stats: QueueStats) -> None:
    each = [({"schedule": one.name}, one) for one in stats.schedules]
    text.gauge(
        "cronq_schedule_next_timestamp_seconds",
        "When a due time of the schedule is to be decided next.",
        [(label, one.due_at / SECOND) for label, one in each if one.due_at is not None],
    )
    text.gauge(
        "cronq_schedule_last_success_timestamp_seconds",
        "When a job of the schedule last finished.",
        [(label, one.succeeded_at / SECOND) for label, one in each if one.succeeded_at is not None],
    )
    text.gauge(
        "cronq_schedule_late_seconds",
        "How long a due time of the schedule has been waiting to be decided.",
        [(label, one.late) for label, one in each],
    )
    text.gauge(
        "cronq_schedule_missed",
        "Due times of the schedule that were missed within a day.",
        [(label, one.missed) for label, one in each],
    )
    text.gauge(
        "cronq_schedule_paused", "Whether the schedule is paused.", [(label, float(one.paused)) for label, one in each]
    )


def _limits(text: Exposition, stats: QueueStats) -> None:
    each = [({"limit": one.name}, one) for one in stats.limits if one.is_shown]
    text.gauge(
        "cronq_limit_places",
        "Places of the limit, taken or not.",
        [(label, one.bounds.concurrency) for label, one in each if one.bounds.concurrency is not None],
    )
    text.gauge("cronq_limit_taken", "Places of the limit that are taken.", [(label, one.taken) for label, one in each])
    text.gauge("cronq_limit_pending", "Jobs that wait for a place.", [(label, one.pending) for label, one in each])
    text.gauge(
        "cronq_limit_wait_seconds",
        "How long the oldest job has been waiting for a place, 0 if none waits.",
        [(label, one.waited(stats.now)) for label, one in each],
    )


def _batches(text: Exposition, stats: QueueStats) -> None:
    states = (("open", stats.batches.open), ("running", stats.batches.running))
    text.gauge(
        "cronq_batches", "Batches that have not ended.", [({"state": state}, number) for state, number in states]
    )
    text.gauge(
        "cronq_batches_left_open",
        "Open batches to which nothing has happened for an hour.",
        [({}, len(stats.batches.left_open))],
    )


def _recent(text: Exposition, recent: RecentStats) -> None:
    text.counter(
        "cronq_attempts_total",
        "Attempts that ended, by the state to which that brought their jobs.",
        [({"queue": queue, "state": state}, number) for queue, state, number in recent.totals],
    )
    text.gauge("cronq_newest_job_id", "Id of the job that was enqueued last.", [({}, recent.newest_id)])
    text.gauge(
        "cronq_recent_jobs",
        "Jobs that ended in the last five minutes.",
        [({"queue": queue, "state": state}, number) for queue, state, number in recent.ended],
    )
    text.gauge(
        "cronq_recent_unsuccessful_attempts",
        "Attempts that did not succeed in the last five minutes, by outcome.",
        [({"outcome": outcome}, number) for outcome, number in recent.outcomes],
    )
    durations = [(queue, mean, most) for queue, _, mean, most in recent.durations]
    text.gauge(
        "cronq_recent_duration_mean_seconds",
        "Mean duration of the jobs that finished in the last five minutes, of the newest thousand.",
        [({"queue": queue}, mean) for queue, mean, _ in durations],
    )
    text.gauge(
        "cronq_recent_duration_max_seconds",
        "The longest of them.",
        [({"queue": queue}, most) for queue, _, most in durations],
    )


def _labels(labels: Labels) -> str:
    shown = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{shown}}}" if shown else ""


def _escaped(value: str) -> str:
    return safe(value).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return f"{value:.15g}"
