"""Claim one job by its id; imports little, because each start of `serve-inetd` does so.

The job must be due, its queue not paused, and its group free without an earlier job in it.
"""

from __future__ import annotations

import os

from cronq.model.states import CLAIMABLE, FUTURE
from cronq.storage.drivers.database import Conflict
from cronq.storage.sql.columns import LIMITED, claim_place
from cronq.times import SECOND

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cronq.storage.drivers.database import Connection, Database, Row, Transaction
    from cronq.storage.tables import Tables


class Refused(Exception):
    """The job can't be started now; the text is the reason: `unknown`, `blocked by 40`, `paused`."""


class Lease:
    """A worker's lease on the jobs of one claim; it ends at an instant unless it is renewed."""

    __slots__ = ("now", "process", "token", "until", "worker")

    def __init__(self, worker: str, *, now: int, seconds: float) -> None:
        self.worker = worker
        self.now = now
        self.until = now + round(seconds * SECOND)
        self.token = int.from_bytes(os.urandom(8), "big") >> 2 or 1
        """The token on which each UPDATE of these jobs is conditional, until they are settled."""
        self.process = (os.uname().nodename, os.getpid())
        """The host name and pid of this process."""

    def parameters(self, started_at: int) -> tuple[object, ...]:
        """Return the parameters of the claiming statements, for attempts that start at this instant."""
        return self.worker, self.token, self.until, started_at, *self.process


def claim_one(tables: Tables, job_id: int, lease: Lease) -> Row:
    """Claim exactly this job; returns its row in the order of cronq.model.job.Claimed. Raises Refused."""
    database = tables.open()
    picking = _Picking(database, tables, job_id, lease)
    picking.look(database)  # without a lock: most refusals end here
    return database.transact(picking.take, picking.read_back)


class _Picking:
    def __init__(self, database: Database, tables: Tables, job_id: int, lease: Lease) -> None:
        self._database = database
        self._sql = tables.sql
        self._clock = tables.clock
        self._id = job_id
        self._lease = lease
        self._chosen = database.many([job_id])

    def look(self, connection: Connection) -> Row:
        """Read the job's state, group, priority and due time. Raises Refused if it can't be claimed."""
        rows = connection.query(self._sql.claim.asked_for, (self._id,))
        if not rows:
            raise Refused("unknown")
        state, queue, group, priority, available_at, flow = rows[0]
        if state in FUTURE and claim_place(0, available_at, 0) > claim_place(0, self._lease.now, 0):
            raise Refused("not due")
        if state in FUTURE and flow is not None and flow & LIMITED:
            raise Refused("pending")
        if state not in FUTURE + CLAIMABLE:
            raise Refused(state)
        if (queue,) in connection.query(self._sql.claim.paused_queues):
            raise Refused("paused")
        return state, group, priority, available_at

    def take(self, tx: Transaction) -> Row:
        """Claim the job; returns its row. Raises Refused, or Conflict if another runner has claimed it."""
        state, group, priority, available_at = self.look(tx)
        if group is not None:
            self._hold(tx, group, (priority, available_at, self._id))
        if state in FUTURE:
            tx.execute(self._sql.leases.promote, ("ready", self._chosen, self._lease.now))
        taken = self._claimed(tx)
        if not taken:
            raise Conflict(f"job {self._id}")
        return taken[0]

    def _hold(self, tx: Transaction, group: str, place: tuple[int, int, int]) -> None:
        many = self._database.many
        if self._sql.dialect.locks_groups:
            tx.execute(self._sql.groups.lock_groups(1), (group,))
        holder = next((holder for _, holder in tx.query(self._sql.groups.holders, (many([group]),)) if holder), None)
        if holder == self._id:
            return
        before = holder or self._first_before(tx, group, place)
        if before:
            raise Refused(f"blocked by {before}")
        tx.execute(self._sql.groups.hold, (group, self._id))
        tx.execute(self._sql.groups.block, (group, self._chosen))

    def _first_before(self, tx: Transaction, group: str, place: tuple[int, int, int]) -> int | None:
        before = min(
            (claim_place(*row) for row in tx.query(self._sql.claim.first_in_group, (group, group))), default=None
        )
        return before[-1] if before is not None and before < claim_place(*place) else None

    def _claimed(self, tx: Transaction) -> list[Row]:
        given = (*self._lease.parameters(self._clock.now()), self._chosen)
        if self._sql.dialect.returning:
            return tx.query(self._sql.claim.claim, given)
        if not tx.execute(self._sql.claim.claim, given).rowcount:
            return []
        return tx.query(self._sql.claim.taken, (self._chosen, self._lease.token))

    def read_back(self) -> Row | None:
        """Return the row of the job if it was claimed, after a COMMIT whose answer got lost; else None."""
        rows = self._database.query(self._sql.claim.read_back, (self._chosen, self._lease.token))
        return rows[0] if rows else None
