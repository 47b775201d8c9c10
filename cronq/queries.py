"""Every statement that runs all day, as text that can be pasted into EXPLAIN.

Each says which index serves it. `?` stands for a parameter, in the order of the
method's parameters; lists of ids travel as one JSON array.
"""

from __future__ import annotations

CLAIMED_COLUMNS = (
    "id, token, task, args, queue, priority, job_key, job_group, event, attempt, max_attempts, snoozes, crashes,"
    " time_limit, created_at, available_at, waiting_since, unknown_since, retry, notes, spent_before, state"
)
"""In the order of cronq.job.Claimed."""

JOB_COLUMNS = (
    "id, queue, task, args, state, priority, job_key, job_group, is_unique, event, attempt, max_attempts, snoozes,"
    " crashes, created_at, available_at, started_at, finished_at, outcome, error_class, error_message, host, pid,"
    " worker, time_limit, result, notes, warnings, peak_memory, memory_before, cpu_time"
)

ENQUEUE_COLUMNS = (
    "task, args, queue, priority, state, available_at, job_key, unique_key, is_unique, job_group, max_attempts,"
    " time_limit, event, retry, created_at"
)

FUTURE_STATES = "(state = 'scheduled' OR state = 'retrying' OR state = 'waiting')"
"""Word for word the condition of the index, or SQLite won't use it."""

ENDED_STATES = "state IN ('finished', 'failed', 'cancelled')"
_LINE = "priority, available_at, id"


class Queries:
    """The statements for tables with the given name prefix."""

    def __init__(self, prefix: str) -> None:
        self.jobs = f"{prefix}jobs"
        self.attempts = f"{prefix}attempts"
        self.groups = f"{prefix}groups"
        self.paused = f"{prefix}paused"
        held = (
            f"EXISTS (SELECT 1 FROM {self.groups} g WHERE g.name = {self.jobs}.job_group"
            f" AND g.job_id <> {self.jobs}.id)"
        )
        self._due_state = f"CASE WHEN job_group IS NOT NULL AND {held} THEN 'blocked' ELSE 'ready' END"
        self._enqueueing()
        self._claiming()
        self._settling()
        self._maintaining()
        self._steering()
        self._reading()

    def _enqueueing(self) -> None:
        holes = ", ".join("?" * len(ENQUEUE_COLUMNS.split(",")))
        self.enqueue = f"INSERT INTO {self.jobs} ({ENQUEUE_COLUMNS}) VALUES ({holes})"
        # A held group's newcomer starts out blocked; the state is the fifth column.
        held = f"EXISTS (SELECT 1 FROM {self.groups} WHERE name = ?)"
        state = f"(SELECT CASE WHEN due = 'ready' AND {held} THEN 'blocked' ELSE due END FROM (SELECT ? AS due))"
        grouped = ", ".join(["?"] * 4 + [state] + ["?"] * (holes.count("?") - 5))
        self.enqueue_grouped = f"INSERT INTO {self.jobs} ({ENQUEUE_COLUMNS}) VALUES ({grouped})"
        self.unless_twin = " ON CONFLICT DO NOTHING"
        # Served by the index `unique`.
        self.twin = f"SELECT id FROM {self.jobs} WHERE unique_key = ?"

    def _claiming(self) -> None:
        # Served by the index `ready`, one step for each queue.
        self.queues_with_ready = (
            f"WITH RECURSIVE q(queue) AS (SELECT min(queue) FROM {self.jobs} WHERE state = 'ready'"
            f" UNION ALL SELECT (SELECT min(queue) FROM {self.jobs} WHERE state = 'ready' AND queue > q.queue)"
            " FROM q WHERE q.queue IS NOT NULL) SELECT queue FROM q WHERE queue IS NOT NULL"
        )
        # Served by the index `ready`.
        self.front = (
            f"SELECT {_LINE}, job_group FROM {self.jobs} WHERE state = 'ready' AND queue = ?"
            f" AND priority BETWEEN ? AND ? ORDER BY {_LINE} LIMIT ?"
        )
        # Served by the index `group`.
        self.behind = (
            f"SELECT {_LINE}, job_group, queue FROM {self.jobs} WHERE job_group = ? AND state = 'blocked'"
            f" AND lease_until IS NULL AND priority BETWEEN ? AND ? ORDER BY {_LINE} LIMIT ?"
        )
        self.holders = f"SELECT name, job_id FROM {self.groups} WHERE name IN (SELECT value FROM json_each(?))"
        self.hold = f"INSERT INTO {self.groups} (name, job_id) VALUES (?, ?)"
        # Served by the index `group`.
        self.block = (
            f"UPDATE {self.jobs} SET state = 'blocked' WHERE job_group = ? AND state = 'ready'"
            " AND id NOT IN (SELECT value FROM json_each(?))"
        )
        lease = "worker = ?, token = ?, lease_until = ?, attempt = attempt + 1, started_at = ?, host = ?, pid = ?"
        chosen = "id IN (SELECT value FROM json_each(?)) AND lease_until IS NULL"
        # Served by the primary key.
        self.claim = (
            f"UPDATE {self.jobs} SET state = 'running', {lease} WHERE {chosen} AND state IN ('ready', 'blocked')"
            f" RETURNING {CLAIMED_COLUMNS}"
        )
        self.claim_behind = (
            f"UPDATE {self.jobs} SET state = 'blocked', {lease} WHERE {chosen} AND state IN ('ready', 'blocked')"
            f" RETURNING {CLAIMED_COLUMNS}"
        )
        self.paused_queues = f"SELECT queue FROM {self.paused}"

    def _settling(self) -> None:
        fenced = "id = ? AND token = ? AND lease_until IS NOT NULL"
        # Served by the primary key, as all that follows here.
        self.settle = (
            f"UPDATE {self.jobs} SET state = ?, available_at = coalesce(?, available_at), attempt = attempt - ?,"
            " snoozes = snoozes + ?, crashes = crashes + ?, waiting_since = ?, unknown_since = ?,"
            " started_at = ?, finished_at = ?, outcome = ?, error_class = ?, error_message = ?,"
            " result = ?, warnings = ?, notes = ?, stdout = ?, stderr = ?, pid = ?, peak_memory = ?,"
            " memory_before = ?, cpu_time = ?, unique_key = CASE WHEN ? THEN NULL ELSE unique_key END,"
            f" kill_requested = 0, lease_until = NULL WHERE {fenced}"
        )
        # For a first attempt that succeeded and left nothing to keep: half the cost, on the most common way.
        self.finish = (
            f"UPDATE {self.jobs} SET state = 'finished', outcome = 'success', started_at = ?, finished_at = ?, pid = ?,"
            f" peak_memory = ?, memory_before = ?, cpu_time = ?, kill_requested = 0, lease_until = NULL WHERE {fenced}"
        )
        self.record_attempt = (
            f"INSERT INTO {self.attempts} (job_id, number, outcome, started_at, finished_at, host, pid, exit_status,"
            " signal, error_class, error_message, traceback, stdout, stderr)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        )
        given_back = (
            "attempt = attempt - 1, started_at = NULL, lease_until = NULL, pid = NULL, host = NULL, worker = NULL"
        )
        self.release = (
            f"UPDATE {self.jobs} SET state = CASE state WHEN 'running' THEN 'ready' ELSE state END,"
            f" {given_back} WHERE {fenced}"
        )
        # Served by the index `group`.
        self.release_followers = (
            f"UPDATE {self.jobs} SET {given_back} WHERE job_group = ? AND state = 'blocked' AND token = ?"
            " AND lease_until IS NOT NULL"
        )
        # Served by the index `group`.
        self.next_follower = (
            f"SELECT id FROM {self.jobs} WHERE job_group = ? AND state = 'blocked' AND token = ?"
            f" AND lease_until IS NOT NULL ORDER BY {_LINE} LIMIT 1"
        )
        ours = "name = ? AND job_id IN (SELECT value FROM json_each(?))"
        self.step_up = f"UPDATE {self.jobs} SET state = 'running' WHERE id = ?"
        self.hand_on = f"UPDATE {self.groups} SET job_id = ? WHERE {ours}"
        self.free = f"DELETE FROM {self.groups} WHERE {ours}"
        # Served by the index `group`.
        self.unblock = (
            f"UPDATE {self.jobs} SET state = 'ready' WHERE id = (SELECT id FROM {self.jobs} WHERE job_group = ?1"
            f" AND state = 'blocked' AND lease_until IS NULL ORDER BY {_LINE} LIMIT 1)"
            f" AND NOT EXISTS (SELECT 1 FROM {self.groups} WHERE name = ?1)"
            f" AND NOT EXISTS (SELECT 1 FROM {self.jobs} WHERE job_group = ?1 AND state = 'ready')"
        )
        self.still_held = f"SELECT id FROM {self.jobs} WHERE {fenced}"
        # The token alone won't do: who rescues a job settles it under the same one.
        self.already_settled = (
            f"SELECT id FROM {self.jobs} WHERE id = ? AND token = ? AND lease_until IS NULL"
            " AND state = ? AND started_at = ?"
        )

    def _maintaining(self) -> None:
        # Served by the index `held`.
        self.renew = (
            f"UPDATE {self.jobs} SET lease_until = ? WHERE worker = ? AND lease_until IS NOT NULL RETURNING id, token"
        )
        self.kills = f"SELECT id FROM {self.jobs} WHERE worker = ? AND lease_until IS NOT NULL AND kill_requested <> 0"
        self.owners = f"SELECT DISTINCT worker FROM {self.jobs} WHERE lease_until IS NOT NULL"
        self.held_by = (
            f"SELECT {CLAIMED_COLUMNS}, started_at, lease_until FROM {self.jobs}"
            f" WHERE worker = ? AND lease_until IS NOT NULL ORDER BY {_LINE}"
        )
        # Served by the index `future`.
        due = f"SELECT id FROM {self.jobs} WHERE {FUTURE_STATES} AND available_at <= ? ORDER BY available_at LIMIT ?"
        self.promote = f"UPDATE {self.jobs} SET state = {self._due_state} WHERE {FUTURE_STATES} AND id IN ({due})"
        self.next_due = f"SELECT min(available_at) FROM {self.jobs} WHERE {FUTURE_STATES}"
        # Served by the index `ended`.
        chosen = "IN (SELECT value FROM json_each(?))"
        holding = f"EXISTS (SELECT 1 FROM {self.groups} g WHERE g.name = job_group AND g.job_id = {self.jobs}.id)"
        # A failed job that holds its group stays: without it, nobody could free the group.
        old = f"finished_at < ? AND state {chosen} AND NOT {holding}"
        self.prunable = f"SELECT id FROM {self.jobs} WHERE {old} ORDER BY finished_at LIMIT ?"
        self.prune = f"DELETE FROM {self.jobs} WHERE {old} AND id {chosen} RETURNING id"
        self.prune_attempts = f"DELETE FROM {self.attempts} WHERE job_id {chosen}"

    def _steering(self) -> None:
        self.retry = (
            f"UPDATE {self.jobs} SET state = {self._due_state}, available_at = ?,"
            " spent_before = spent_before + attempt, attempt = 0, started_at = NULL, finished_at = NULL,"
            " waiting_since = NULL, unknown_since = NULL, outcome = NULL, error_class = NULL, error_message = NULL,"
            " result = NULL, warnings = NULL, kill_requested = 0,"
            " unique_key = CASE WHEN is_unique THEN job_key ELSE NULL END"
            f" WHERE id = ? AND {ENDED_STATES}"
        )
        self.cancel = (
            f"UPDATE {self.jobs} SET state = 'cancelled', started_at = NULL, finished_at = ?, outcome = NULL,"
            " unique_key = NULL,"
            " error_class = coalesce(?, error_class), error_message = coalesce(?, error_message) WHERE id = ?"
            " AND lease_until IS NULL"
            " AND state IN ('scheduled', 'ready', 'blocked', 'retrying', 'waiting', 'failed')"
        )
        self.request_kill = f"UPDATE {self.jobs} SET kill_requested = 1 WHERE id = ? AND lease_until IS NOT NULL"

    def _reading(self) -> None:
        holder = f"(SELECT job_id FROM {self.groups} g WHERE g.name = {self.jobs}.job_group)"
        front = (
            f"(SELECT f.id FROM {self.jobs} f WHERE f.job_group = {self.jobs}.job_group AND f.state = 'ready'"
            " ORDER BY f.priority, f.available_at, f.id LIMIT 1)"
        )
        blocked_by = f"CASE WHEN state = 'blocked' THEN coalesce({holder}, {front}) END"
        self.job = f"SELECT {JOB_COLUMNS}, {blocked_by} FROM {self.jobs}"
        self.output = f"SELECT stdout, stderr FROM {self.jobs} WHERE id = ?"
        # Served by the index on attempts' job_id.
        self.history = (
            "SELECT number, outcome, started_at, finished_at, host, pid, error_class, error_message, traceback,"
            f" exit_status, signal, stdout, stderr FROM {self.attempts} WHERE job_id = ? ORDER BY id"
        )
        self.counts = f"SELECT queue, state, count(*) FROM {self.jobs} GROUP BY queue, state ORDER BY queue, state"
        # Served by the index `ready`.
        self.oldest_ready = f"SELECT min(available_at) FROM {self.jobs} WHERE state = 'ready'"
        self.backlog = f"SELECT count(*) FROM {self.jobs} WHERE state = 'ready'"
        # Served by the index `key`.
        self.unfinished = (
            f"SELECT DISTINCT job_key FROM {self.jobs} WHERE job_key IN (SELECT value FROM json_each(?))"
            f" AND NOT {ENDED_STATES}"
        )
        self.group_of = f"SELECT job_group FROM {self.jobs} WHERE id = ?"


def glance(prefix: str) -> str:
    """1 when a run has anything to do: due jobs, or jobs that a dead runner may have left behind.

    Indexes: ready, future, held, ended.
    """
    jobs = f"{prefix}jobs"
    return (
        f"SELECT EXISTS (SELECT 1 FROM {jobs} WHERE state = 'ready')"
        f" OR EXISTS (SELECT 1 FROM {jobs} WHERE {FUTURE_STATES} AND available_at <= ?)"
        f" OR EXISTS (SELECT 1 FROM {jobs} WHERE lease_until IS NOT NULL)"
        f" OR EXISTS (SELECT 1 FROM {jobs} WHERE finished_at < ? AND state = 'finished')"
    )
