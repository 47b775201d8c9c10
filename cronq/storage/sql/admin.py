"""Define the statements of retry, cancel, pause and clear-finished."""

from __future__ import annotations

from cronq.model.job import CANCELLABLE, State
from cronq.storage.sql.columns import ENDED_LIST, ENDED_STATES, FUTURE_STATES, HELD, LIMITED
from cronq.storage.sql.reads import ended_pairs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cronq.storage.sql.dialect import Names


class AdminStatements:
    """The statements of users' commands, served by the primary key and the index `ended` (SQLite: `counted`)."""

    def __init__(self, names: Names) -> None:
        dialect = names.dialect
        held = (
            f"EXISTS (SELECT 1 FROM {names.groups} g WHERE g.name = {names.jobs}.job_group"
            f" AND g.job_id <> {names.jobs}.id)"
        )
        tied = f"EXISTS (SELECT 1 FROM {names.edges} e WHERE e.child = {names.jobs}.id)"
        limited = f"(flow & {LIMITED}) <> 0"
        due_state = (
            f"CASE WHEN {limited} THEN 'pending' WHEN job_group IS NOT NULL AND {held} THEN 'blocked' ELSE 'ready' END"
        )
        self.retry = (
            # A job that comes after others waits for them again: they may have been retried too.
            f"UPDATE {names.jobs} SET flow = CASE WHEN {tied} THEN coalesce(flow, 0) | {HELD} ELSE flow END,"
            f" state = CASE WHEN {tied} THEN 'pending' ELSE {due_state} END, available_at = ?,"
            " spent_before = spent_before + attempt, attempt = 0, crashes = 0, started_at = NULL, finished_at = NULL,"
            " waiting_since = NULL, unknown_since = NULL, outcome = NULL, error_class = NULL, error_message = NULL,"
            " result = NULL, warnings = NULL, kill_requested = 0,"
            " unique_key = CASE WHEN is_unique <> 0 THEN job_key ELSE NULL END"
            f" WHERE id = ? AND {ENDED_STATES}"
        )
        self.key_of = f"SELECT job_key FROM {names.jobs} WHERE id = ?"
        chosen = f"WHERE id {dialect.in_list} AND"
        # Unlike `retry`, this keeps the attempts and `waiting_since`.
        self.make_due = (
            f"UPDATE {names.jobs}{dialect.by_id} SET state = {due_state}, available_at = ? {chosen} {FUTURE_STATES}"
        )
        self.can_be_made_due = (
            f"SELECT id FROM {names.jobs}{dialect.by_id} {chosen} {FUTURE_STATES} ORDER BY id{dialect.for_update}"
        )
        self.retry_many = self.retry.replace("WHERE id = ? AND", chosen)
        self.ended = (
            f"SELECT id, CASE WHEN is_unique <> 0 THEN job_key END FROM {names.jobs}{dialect.by_id}"
            f" {chosen} {ENDED_STATES} ORDER BY id DESC{dialect.for_update}"
        )
        last = f"{names.jobs}.spent_before + {names.jobs}.attempt"
        kept = "started_at, finished_at, host, pid, error_class, error_message, stdout, stderr, worker"
        self.record_last = (
            f"INSERT INTO {names.attempts} (job_id, number, outcome, {kept})"
            f" SELECT id, {last}, coalesce(outcome, state), {kept} FROM {names.jobs}{dialect.by_id}"
            f" {chosen} attempt > 0 AND started_at IS NOT NULL AND NOT EXISTS"
            f" (SELECT 1 FROM {names.attempts} a WHERE a.job_id = {names.jobs}.id AND a.number = {last})"
        )
        cancellable = ", ".join(f"'{state}'" for state in State if state in CANCELLABLE)
        self.cancel = (
            f"UPDATE {names.jobs} SET state = 'cancelled', started_at = NULL, finished_at = ?, outcome = NULL,"
            " unique_key = NULL,"
            " error_class = coalesce(?, error_class), error_message = coalesce(?, error_message) WHERE id = ?"
            " AND lease_until IS NULL"
            f" AND state IN ({cancellable})"
        )
        alone = f"{chosen} job_group IS NULL AND"
        self.cancel_many = self.cancel.replace("WHERE id = ? AND", alone)
        free = self.cancel_many[self.cancel_many.index(alone) :]
        self.cancellable = f"SELECT id FROM {names.jobs}{dialect.by_id} {free} ORDER BY id{dialect.for_update}"
        self.request_kill = f"UPDATE {names.jobs} SET kill_requested = 1 WHERE id = ? AND lease_until IS NOT NULL"
        self.pause = f"INSERT INTO {names.paused} (queue, paused_at) VALUES (?, ?)"
        self.resume = f"DELETE FROM {names.paused} WHERE queue = ?"
        self._add_prune(names)

    def _add_prune(self, names: Names) -> None:
        """Add the statements of clear-finished, served by the index `ended` (SQLite: `counted`)."""
        dialect = names.dialect
        holding = f"EXISTS (SELECT 1 FROM {names.groups} g WHERE g.name = job_group AND g.job_id = {names.jobs}.id)"
        # A failed job that holds its group is not deleted: without it, the group could never be freed. Nor is a job
        # that unfinished jobs come after, or a member of a batch that has not ended: they depend on how it ended.
        # These two conditions don't use EXISTS, for which PostgreSQL would read all jobs.
        awaited = (
            f"SELECT e.child FROM {names.edges} e JOIN {names.jobs} c ON c.id = e.child"
            f" WHERE e.parent = {names.jobs}.id AND c.state NOT IN {ENDED_LIST} LIMIT 1"
        )
        unended = f"(SELECT b.id FROM {names.batches} b WHERE b.id = m.batch AND b.ended_at IS NULL) IS NOT NULL"
        in_batch = f"SELECT m.batch FROM {names.members} m WHERE m.job = {names.jobs}.id AND {unended}"
        needed = f"flow IS NOT NULL AND (({awaited}) IS NOT NULL OR ({in_batch}) IS NOT NULL)"
        old = f"state {dialect.in_list} AND finished_at < ? AND NOT {holding}"
        self.prunable = f"SELECT id FROM {names.jobs} WHERE {old} AND NOT ({needed}) ORDER BY finished_at LIMIT ?"
        if dialect.has_counted:  # one search of that index for each state and queue
            pairs = ended_pairs(names.jobs, f"SELECT value FROM {dialect.list_as_table}")
            self.prunable = (
                f"{pairs} SELECT {names.jobs}.id FROM pairs CROSS JOIN {names.jobs}"
                f" ON {names.jobs}.state = pairs.state AND {names.jobs}.queue = pairs.queue"
                f" WHERE finished_at < ? AND NOT {holding} AND NOT ({needed}) LIMIT ?"
            )
        self.needed = (  # not part of the DELETE: in MySQL, that can't read the table from which it deletes
            f"SELECT DISTINCT e.parent FROM {names.edges} e JOIN {names.jobs} c ON c.id = e.child"
            f" WHERE e.parent {dialect.in_list} AND c.state NOT IN {ENDED_LIST}"
        )
        self.prune = f"DELETE FROM {names.jobs} WHERE {old} AND id {dialect.in_list}"
        self.prune_attempts = (
            f"DELETE FROM {names.attempts} WHERE job_id {dialect.in_list}"
            f" AND NOT EXISTS (SELECT 1 FROM {names.jobs} j WHERE j.id = job_id)"
        )
        gone = f"AND NOT EXISTS (SELECT 1 FROM {names.jobs} j WHERE j.id"
        self.prune_children = f"DELETE FROM {names.edges} WHERE child {dialect.in_list} {gone} = child)"
        self.prune_parents = f"DELETE FROM {names.edges} WHERE parent {dialect.in_list} {gone} = parent)"
