"""Define the statements on batches and their members."""

from __future__ import annotations

from cronq.model.states import ENDED
from cronq.storage.sql.columns import ENDED_LIST, MEMBER, text_list

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cronq.storage.sql.dialect import Names

BATCH_COLUMNS = "id, name, on_failed, opened_at, opened_by, closed_at, cancelled_at, ended_at, outcome, looked_to"
"""The columns of a batch, in the order of the fields of cronq.model.batch.BatchRow."""


class BatchStatements:
    """The statements on batches, served by the primary keys and the indexes `members_job` and `batches_ended`."""

    def __init__(self, names: Names) -> None:
        dialect, jobs, batches, members = names.dialect, names.jobs, names.batches, names.members
        update = f"UPDATE {batches} SET %s WHERE id = ? AND %s"
        # These UPDATEs always change `turn`: only that keeps two nodes of a cluster from changing one batch at once.
        turned = "turn = 1 - turn"
        self.open = f"INSERT INTO {batches} (name, on_failed, opened_at, opened_by, closed_at) VALUES (?, ?, ?, ?, ?)"
        self.one = f"SELECT {BATCH_COLUMNS} FROM {batches} WHERE id = ?"
        self.newest = f"SELECT {BATCH_COLUMNS} FROM {batches} WHERE id < ? ORDER BY id DESC LIMIT ?"
        self.unended = f"SELECT {BATCH_COLUMNS} FROM {batches} WHERE ended_at IS NULL ORDER BY id LIMIT ?"
        self.admit = update % (turned, "ended_at IS NULL AND cancelled_at IS NULL")
        self.close = update % (f"{turned}, closed_at = ?", "closed_at IS NULL")
        cancelled = f"{turned}, cancelled_at = ?, closed_at = coalesce(closed_at, ?)"
        self.cancel = update % (cancelled, "ended_at IS NULL AND cancelled_at IS NULL")
        self.lock = update % (turned, "ended_at IS NULL AND closed_at IS NOT NULL")
        self.end = update % (f"{turned}, ended_at = ?, outcome = ?", "ended_at IS NULL")
        self.correct = f"UPDATE {batches} SET outcome = ? WHERE id = ? AND ended_at IS NOT NULL"
        reopened = f"{turned}, ended_at = NULL, outcome = NULL, cancelled_at = NULL, looked_to = 0"
        self.reopen = update % (reopened, "ended_at IS NOT NULL")
        self.look_on = f"UPDATE {batches} SET looked_to = ? WHERE id = ?"
        self._add_members(names, f"SELECT j.%s FROM {jobs} j WHERE j.id = m.job", members)
        self.mark = f"UPDATE {jobs} SET flow = coalesce(flow, 0) | {MEMBER} WHERE id {dialect.in_list}"
        self.join = f"INSERT INTO {members} (batch, job) SELECT ?, id FROM {jobs} WHERE id {dialect.in_list}"
        self.following = (
            f"SELECT e.child, m.batch FROM {names.edges} e JOIN {jobs} c ON c.id = e.child"
            f" LEFT JOIN {members} m ON m.job = e.child WHERE e.parent {dialect.in_list} AND c.state = 'pending'"
        )
        self._add_figures(names)
        self._add_prune(names)

    def _add_figures(self, names: Names) -> None:
        jobs, batches, members = names.jobs, names.batches, names.members
        self.unended_numbers = f"SELECT count(*), count(closed_at) FROM {batches} WHERE ended_at IS NULL"
        # Ordered by both columns, so that MySQL reads the index backwards instead of sorting all members.
        last = "ORDER BY m.batch DESC, m.job DESC LIMIT 1"
        newest = f"(SELECT m.job FROM {members} m WHERE m.batch = {batches}.id {last})"
        self.long_open = (
            f"SELECT {BATCH_COLUMNS}, (SELECT coalesce(j.finished_at, ?) FROM {jobs} j WHERE j.id = {newest})"
            f" FROM {batches} WHERE ended_at IS NULL AND closed_at IS NULL AND opened_at < ? ORDER BY id LIMIT ?"
        )
        self.newest_outstanding = (
            f"SELECT n.job FROM (SELECT job FROM {members} WHERE batch = ? ORDER BY job DESC LIMIT ?) n"
            f" WHERE (SELECT j.state FROM {jobs} j WHERE j.id = n.job) NOT IN {ENDED_LIST} LIMIT 1"
        )

    def _add_members(self, names: Names, of_member: str, members: str) -> None:
        # Subqueries instead of joins, so that each engine starts with the members, with or without statistics.
        state = of_member % "state"
        self.outstanding = (
            f"SELECT m.job FROM {members} m WHERE m.batch = ? AND m.job >= ? AND ({state}) NOT IN {ENDED_LIST}"
            " ORDER BY m.job LIMIT 1"
        )
        self.going_on = (
            f"SELECT m.job, b.looked_to FROM {names.batches} b JOIN {members} m ON m.batch = b.id WHERE b.id = ?"
            f" AND m.job >= b.looked_to AND ({state}) NOT IN {ENDED_LIST} ORDER BY m.job LIMIT 1"
        )
        skipped = "j.state = 'cancelled' AND j.started_at IS NOT NULL AND j.outcome IS NULL"
        told = (of_member % "state").replace("j.state", f"CASE WHEN {skipped} THEN 'skipped' ELSE j.state END")
        self.tally = (
            f"SELECT state, count(*) FROM (SELECT ({told}) AS state FROM {members} m WHERE m.batch = ?) told"
            " GROUP BY state"
        )
        self.member_at = f"SELECT m.job FROM {members} m WHERE m.batch = ? ORDER BY m.job LIMIT 1 OFFSET ?"
        self.cancellable = (
            f"SELECT m.job FROM {members} m WHERE m.batch = ? AND m.job > ?"
            f" AND ({state}) NOT IN {text_list((*ENDED, 'running'))} ORDER BY m.job LIMIT ?"
        )
        self.of_jobs = f"SELECT job, batch FROM {members} WHERE job {names.dialect.in_list}"

    def _add_prune(self, names: Names) -> None:
        dialect, members = names.dialect, names.members
        unended = f"(SELECT b.id FROM {names.batches} b WHERE b.id = m.batch AND b.ended_at IS NULL) IS NOT NULL"
        self.needed = f"SELECT m.job FROM {members} m WHERE m.job {dialect.in_list} AND {unended}"
        self.prune_members = (
            f"DELETE FROM {members} WHERE job {dialect.in_list}"
            f" AND NOT EXISTS (SELECT 1 FROM {names.jobs} j WHERE j.id = job)"
        )
        empty = f"NOT EXISTS (SELECT 1 FROM {members} m WHERE m.batch = {names.batches}.id)"
        unneeded = f"NOT EXISTS (SELECT 1 FROM {names.edges} e WHERE e.parent = -{names.batches}.id)"
        self.prune = f"DELETE FROM {names.batches} WHERE ended_at < ? AND {empty} AND {unneeded}"
