"""OpenTelemetry: a span for each call that enqueues, and a span below it for each attempt of its jobs.

This imports `opentelemetry`, so it is itself imported only where the config says `otel = true`.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from cronq import __version__
from cronq.config.environment import trace_context
from cronq.errors import ConfigError
from cronq.model.claimed_job import COMMAND_TASK

try:
    from opentelemetry import context, propagate, trace
    from opentelemetry.trace import SpanKind, Status, StatusCode
except ImportError as error:
    raise ConfigError(f"otel = true: {error}: pip install 'cronq-jobs[otel]'") from None

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from opentelemetry.trace import Span

    from cronq.execution.job_context import RunningJob
    from cronq.model.claimed_job import Claimed
    from cronq.model.job import Enqueued, NewJob
    from cronq.model.outcome import Outcome, Settlement

    Attempt = Callable[[Claimed, RunningJob, int], Outcome]

NOTE = "otel"
"""The note of a job that has its trace context."""

_FAILED = frozenset({"error", "timeout", "crashed"})
_INTERRUPTED = frozenset({"timeout", "crashed"})
"""Outcomes after which the process is killed."""

_AT_ONCE = 2_000
_AT_THE_END = 5_000
"""Milliseconds that the exporter has."""

_tracer = trace.get_tracer("cronq", __version__)


class Enqueueing:
    """The span of one call that enqueues jobs."""

    def __init__(self, span: Span) -> None:
        self._span = span

    def carried(self, jobs: Sequence[NewJob]) -> list[NewJob]:
        """Return the jobs with the context of the span as a note."""
        carrier: dict[str, str] = {}
        propagate.inject(carrier)
        self._span.update_name(_name(jobs))
        self._span.set_attributes(_sent(jobs))
        notes = json.dumps({NOTE: carrier}) if carrier else None
        return [job._replace(notes=notes) for job in jobs]

    def stored(self, enqueued: Sequence[Enqueued]) -> None:
        """Note the id of a single job."""
        if len(enqueued) == 1:
            self._span.set_attribute("messaging.message.id", str(enqueued[0].id))
            self._span.set_attribute("cronq.existing", enqueued[0].existing)


@contextmanager
def enqueueing(jobs: Sequence[NewJob] = ()) -> Iterator[Enqueueing]:
    """Start the span of a call that enqueues; without `jobs`, they are known in the block."""
    parent = _from_environment()
    attributes = _sent(jobs)
    with _tracer.start_as_current_span(_name(jobs), parent, SpanKind.PRODUCER, attributes) as span:
        yield Enqueueing(span)


def _from_environment() -> Any:
    """Return the context of the program that started this one, where no span is open here."""
    if trace.get_current_span().get_span_context().is_valid:
        return None
    return propagate.extract(trace_context())


def _name(jobs: Sequence[NewJob]) -> str:
    queues = {job.queue for job in jobs}
    return f"enqueue {queues.pop()}" if len(queues) == 1 else "enqueue"


def _sent(jobs: Sequence[NewJob]) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        "messaging.system": "cronq",
        "messaging.operation.name": "enqueue",
        "messaging.operation.type": "send",
    }
    for name, values in (
        ("messaging.destination.name", {job.queue for job in jobs}),
        ("cronq.task", {job.task for job in jobs}),
    ):
        if len(values) == 1:
            attributes[name] = values.pop()
    if len(jobs) > 1:
        attributes["messaging.batch.message_count"] = len(jobs)
    return attributes


def traced(attempt: Attempt) -> Attempt:
    """Return what runs an attempt inside a span, a child of the span that enqueued its job."""

    def run(job: Claimed, running: RunningJob, started: int) -> Outcome:
        token = context.attach(_context_of(job))
        try:
            with _tracer.start_as_current_span(
                f"process {job.queue}", kind=SpanKind.CONSUMER, attributes=_processed(job)
            ) as span:
                outcome = attempt(job, running, started)
                _note_end(span, outcome)
        finally:
            context.detach(token)
        if outcome.kind in _INTERRUPTED:
            _flush(_AT_ONCE)
        return outcome

    return run


def tell_of_unseen(settled: Settlement) -> None:
    """Make the span of an attempt whose process was killed before it could end the span itself."""
    job, outcome = settled.job, settled.outcome
    if not _is_unseen(job, outcome):
        return
    span = _tracer.start_span(
        f"process {job.queue}", _context_of(job), SpanKind.CONSUMER, _processed(job),
        start_time=(outcome.started_at or outcome.finished_at) * 1000,
    )  # fmt: skip
    _note_end(span, outcome)
    span.end(outcome.finished_at * 1000)


def _is_unseen(job: Claimed, outcome: Outcome) -> bool:
    error = outcome.error
    if error is None or error.traceback is not None:
        return False
    killed = outcome.signal is not None or job.task != COMMAND_TASK  # a command's limit is seen by its parent
    return error.kind == "ExecutorDied" or (outcome.kind == "timeout" and killed)


def environment() -> dict[str, str]:
    """Return the variables that give a command the context of the span that is open: TRACEPARENT and others."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return {name.upper().replace("-", "_"): value for name, value in carrier.items()}


@contextmanager
def around_child() -> Iterator[None]:
    """Export what is left at the end of a process that ran jobs."""
    try:
        yield
    finally:
        _flush(_AT_THE_END)


def _flush(milliseconds: int) -> None:
    flush = getattr(trace.get_tracer_provider(), "force_flush", None)  # the API's own provider has none
    if flush is not None:
        flush(milliseconds)


def _context_of(job: Claimed) -> Any:
    return propagate.extract(_carrier(job.notes) if job.notes else {})


def _carrier(notes: str) -> Mapping[str, str]:
    try:
        found = json.loads(notes).get(NOTE)
    except (ValueError, AttributeError):  # written by hand
        return {}
    return found if isinstance(found, dict) else {}


def _processed(job: Claimed) -> dict[str, Any]:
    return {
        "messaging.system": "cronq",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": job.queue,
        "messaging.message.id": str(job.id),
        "cronq.task": job.task,
        "cronq.attempt": job.spent_before + job.attempt,
    }


def _note_end(span: Span, outcome: Outcome) -> None:
    span.set_attribute("cronq.outcome", outcome.kind or outcome.verdict)
    error = outcome.error
    if error is None or outcome.kind not in _FAILED:
        return
    kind = error.path or error.kind
    told = {"exception.type": kind, "exception.message": error.message}
    if error.traceback is not None:
        told["exception.stacktrace"] = error.traceback
    span.add_event("exception", told)
    span.set_attribute("error.type", kind)
    span.set_status(Status(StatusCode.ERROR, error.message))
