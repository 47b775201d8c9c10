"""Insert new jobs within a span of OpenTelemetry, whose context is stored in their notes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cronq.model.job import Enqueued, NewJob
    from cronq.storage.drivers.caller_connection import CallerConnection
    from cronq.storage.drivers.database import Transaction
    from cronq.storage.enqueue import Inserts


class TracedInserter:
    """Stores jobs as an Inserter does, in a span. The first call imports `opentelemetry`: programs that read don't."""

    def __init__(self, inserter: Inserts) -> None:
        self._inserter = inserter

    def accept(self, jobs: Sequence[NewJob], *, now: int) -> list[Enqueued]:
        """Store all jobs or none."""
        from cronq.otel import enqueueing

        with enqueueing(jobs) as call:
            enqueued = self._inserter.accept(call.carried(jobs), now=now)
            call.stored(enqueued)
        return enqueued

    def accept_with(self, begin: Callable[[Transaction], Sequence[NewJob]], *, now: int) -> list[Enqueued]:
        """Store in one transaction what `begin` writes and the jobs that it returns, all or none."""
        from cronq.otel import enqueueing

        with enqueueing() as call:
            return self._inserter.accept_with(lambda tx: call.carried(begin(tx)), now=now)

    def accept_through(self, connection: CallerConnection, jobs: Sequence[NewJob], *, now: int) -> list[Enqueued]:
        """Store all jobs or none in the caller's transaction, which the caller commits."""
        from cronq.otel import enqueueing

        with enqueueing(jobs) as call:
            enqueued = self._inserter.accept_through(connection, call.carried(jobs), now=now)
            call.stored(enqueued)
        return enqueued

    def accept_in(self, tx: Transaction, job: NewJob, *, now: int) -> Enqueued:
        """Store a schedule's job, without a span: each of its attempts begins a trace."""
        return self._inserter.accept_in(tx, job, now=now)
