"""Count and log the outcomes of jobs, and send notices of those that failed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from cronq.model.job import State
from cronq.notifications.notice import healthy, notice_of, of_schedule
from cronq.system.log import log, step

if TYPE_CHECKING:
    from collections.abc import Callable

    from cronq.model.outcome import Settlement
    from cronq.model.retry import Policies
    from cronq.notifications.notice import Notice
    from cronq.notifications.sender import Sender
    from cronq.schedules.alerts import Alert
    from cronq.store import Store


class ResultRecorder:
    """Counts, logs and reports the jobs that a worker settled."""

    def __init__(
        self, store: Store, policies: Policies, sender: Sender, *, report: Report | None, otel: bool = False
    ) -> None:
        self.summary = Summary()
        self._store = store
        self._policies = policies
        self._sender = sender
        self._report = report
        self._otel = otel
        self._refusals: set[str] = set()

    def enter(self, settled: Settlement) -> None:
        """Count and log a settled job, and queue a notice if it failed for good or keeps failing."""
        job, outcome, following, _, _ = settled
        why = following.error.message if following.error else "" if outcome.kind == "success" else outcome.kind
        step(job.id, following.state.value, task=job.task, queue=job.queue, why=why)
        if self._otel and outcome.error is not None:
            from cronq.otel import tell_of_unseen  # here, not above: it imports opentelemetry

            tell_of_unseen(settled)
        if following.state is State.FINISHED:
            self.summary.finished += 1
            return
        state = following.state.value
        setattr(self.summary, state, getattr(self.summary, state) + 1)
        if outcome.verdict == "refused" and job.unknown_since is None:
            self._tell_of_refusal(why)
        notice = notice_of(settled, self._policies.of(job))
        if notice:
            self._sender.take(notice)
            self._tell(notice)

    def _tell_of_refusal(self, why: str) -> None:
        """Report once that jobs wait for a permission, unless an earlier run has reported it."""
        if why not in self._refusals:
            self._refusals.add(why)
            self._tell(f"jobs wait until it is allowed: {why}")

    def _tell(self, text: Notice | str) -> None:
        log.error("%s", text)
        if self._report:
            self._report.needs_attention(text)

    def show(self, assigned: int) -> None:
        """Report the progress; `assigned` jobs are with children."""
        if self._report and self._report.watched:
            self._report.progress(self.summary, self.summary.ended + assigned + self._store.jobs.backlog())

    def send_notices(self, before_fork: Callable[[], None], *, at_once: bool = False) -> None:
        """Send the queued notices in the background, and store the incidents of their jobs.

        Not while the last batch is being sent, unless `at_once`. `before_fork` is called before the fork.
        """
        if self._sender.may_send(at_once=at_once):
            before_fork()
            told = self._sender.send()
            self._store.incidents.mark(notice.job_id for notice in told if notice.job_id)

    def tell_of_schedule(self, alert: Alert) -> None:
        """Queue the notice that a schedule has had no success for too long, or is well again."""
        notice = of_schedule(alert.schedule, alert.task, alert.queue, failures=alert.failures)
        self._sender.take(notice)
        if alert.failures:
            self._tell(notice)
        else:
            log.info("%s", notice)

    def tell_of_recovery(self) -> None:
        """Queue notices of queues that are healthy again."""
        for queue in self._store.incidents.take_recovered() if self._sender.wanted else ():
            log.info("%s", healthy(queue))
            self._sender.take(healthy(queue))


@dataclass
class Summary:
    """The results of a run: ended attempts by the new state of the job. `lost` counts leases that others took over."""

    finished: int = 0
    failed: int = 0
    retrying: int = 0
    waiting: int = 0
    cancelled: int = 0
    ready: int = 0
    lost: int = 0
    conflicts: int = 0
    """The number of times that a statement or transaction was repeated because of a concurrent one."""
    stopped: str = ""
    """The reason why the run ended early, such as "stopped by a job"; empty if it didn't."""

    @property
    def ended(self) -> int:
        """The number of attempts that ended."""
        return self.finished + self.failed + self.retrying + self.waiting + self.cancelled + self.ready


class Report(Protocol):
    """Receives the progress and notices of a run."""

    watched: bool
    """Whether `progress` is shown: counting the remaining jobs costs a statement."""

    def progress(self, summary: Summary, total: int) -> None:
        """Report that outcomes were written; `total` counts ended, running and ready jobs."""

    def needs_attention(self, notice: Notice | str) -> None:
        """Report a job that failed for good or keeps failing, or jobs that wait for a permission."""
