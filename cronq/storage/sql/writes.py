"""Every statement that changes something or runs all day, as text that can be pasted into EXPLAIN.

Each says which index serves it. `?` stands for a parameter, in the order of the method's
parameters; a list of ids or names is one parameter, made by the database's `many`. What the
engines can't say in the same words stands in `Dialect`.
"""

from __future__ import annotations

from binascii import crc32

from cronq.storage.sql.dialect import (
    CLAIMED_COLUMNS,
    ENDED_STATES,
    ENQUEUE_COLUMNS,
    FUTURE_STATES,
    USUAL_COLUMNS,
    WORKER_COLUMNS,
)
from cronq.storage.sql.reads import Lookups, lanes_of

_LINE = "priority, available_at, id"
_FUTURE = ("scheduled", "retrying", "waiting")
_BATCHES = 0x63726E71
"""Sets our locks apart from those of others who use the database; ASCII for crnq."""


class Queries(Lookups):
    """The statements for tables with the given name prefix."""

    def __init__(self, prefix: str, family: str = "sqlite") -> None:
        super().__init__(prefix, family)
        held = (
            f"EXISTS (SELECT 1 FROM {self.groups} g WHERE g.name = {self.jobs}.job_group"
            f" AND g.job_id <> {self.jobs}.id)"
        )
        self._due_state = f"CASE WHEN job_group IS NOT NULL AND {held} THEN 'blocked' ELSE 'ready' END"
        self._enqueueing(family)
        self._claiming()
        self._pausing(prefix)
        self._settling()
        self._maintaining()
        self._steering()
        self._registering()
        self._following()
        self._troubling()

    def _enqueueing(self, family: str) -> None:
        columns = ENQUEUE_COLUMNS + ", enqueue_token" * self.dialect.server
        holes = ", ".join("?" * len(columns.split(",")))
        self.enqueue = f"INSERT INTO {self.jobs} ({columns}) VALUES ({holes})"
        if not self.dialect.server:
            # Jobs that differ in nothing but the second column, in the order of a list of its texts.
            alike = holes.replace("?, ?", "?, value", 1)
            self.enqueue_alike = f"INSERT INTO {self.jobs} ({columns}) SELECT {alike} FROM json_each(?)"
            usual = ", ".join("?" * len(USUAL_COLUMNS.split(",")))
            self.enqueue_usual = f"INSERT INTO {self.jobs} ({USUAL_COLUMNS}) VALUES ({usual})"
        # A held group's newcomer starts out blocked; the state is the fifth column.
        held = f"EXISTS (SELECT 1 FROM {self.groups} WHERE name = ?{self.dialect.shared})"
        state = f"(SELECT CASE WHEN due = 'ready' AND {held} THEN 'blocked' ELSE due END FROM (SELECT ? AS due) d)"
        grouped = ", ".join(["?"] * 4 + [state] + ["?"] * (holes.count("?") - 5))
        self.enqueue_grouped = f"INSERT INTO {self.jobs} ({columns}) VALUES ({grouped})"
        # Served by the index `unique`. The lock lets a caller's older snapshot see the twin too, on MySQL.
        seen = self.dialect.shared * (self.dialect.family == "mysql")
        self.twin = f"SELECT id FROM {self.jobs} WHERE unique_key = ?{seen}"
        self.twins = f"SELECT unique_key, id FROM {self.jobs} WHERE unique_key {self.dialect.among}"
        # Two batches with the same keys in another order would wait crosswise, and PostgreSQL takes a second to see it.
        number = crc32(self.jobs.encode()) - (1 << 31)
        self.batch_turn = f"SELECT pg_advisory_xact_lock({_BATCHES}, {number})" if family == "postgresql" else ""
        if self.dialect.server:
            # Served by the index `arrived`.
            self.arrived = (
                f"SELECT id, enqueue_token FROM {self.jobs} WHERE created_at = ? AND enqueue_token BETWEEN ? AND ?"
            )

    def _claiming(self) -> None:
        # Served by the index `ready`, one step for each queue.
        self.queues_with_ready = (
            f"SELECT queue FROM {self.jobs} WHERE state = 'ready' GROUP BY state, queue"
            if self.dialect.family == "mysql"
            else f"WITH RECURSIVE q(queue) AS (SELECT min(queue) FROM {self.jobs} WHERE state = 'ready'"
            f" UNION ALL SELECT (SELECT min(queue) FROM {self.jobs} WHERE state = 'ready' AND queue > q.queue)"
            " FROM q WHERE q.queue IS NOT NULL) SELECT queue FROM q WHERE queue IS NOT NULL"
        )
        # Served by the index `ready`.
        self.front = (
            f"SELECT {_LINE}, job_group FROM {self.jobs} WHERE state = 'ready' AND queue = ?"
            f" AND priority BETWEEN ? AND ? ORDER BY {_LINE} LIMIT ?"
        )
        # Served by the index `group`. One state at a time, or all of a large group would be sorted.
        self.members = " UNION ALL ".join(
            f"SELECT * FROM (SELECT {_LINE}, job_group FROM {self.jobs}"
            f" WHERE job_group = ? AND state = '{state}' AND lease_until IS NULL"
            f" AND priority BETWEEN ? AND ? AND queue {self.dialect.among} ORDER BY {_LINE} LIMIT ?) AS {state}"
            for state in ("ready", "blocked")
        )
        holders = f"SELECT name, job_id FROM {self.groups} WHERE name {self.dialect.among} ORDER BY name"
        self.holders = holders + self.dialect.shared
        # Groups before jobs, and groups by name: so that two transactions never wait for each other.
        self.lock_holders = holders + self.dialect.locked
        # On a server the claim has locked the group by a row of its own.
        over = {"mysql": " ON DUPLICATE KEY UPDATE job_id = VALUES(job_id)"}.get(
            self.dialect.family, " ON CONFLICT (name) DO UPDATE SET job_id = excluded.job_id"
        )
        self.hold = f"INSERT INTO {self.groups} (name, job_id) VALUES (?, ?)" + over * self.dialect.server
        # Served by the index `group`.
        self.block = (
            f"UPDATE {self.jobs} SET state = 'blocked' WHERE job_group = ? AND state = 'ready'"
            f" AND id {self.dialect.beside}"
        )
        lease = "worker = ?, token = ?, lease_until = ?, attempt = attempt + 1, started_at = ?, host = ?, pid = ?"
        # Served by the primary key.
        self.claim = self._taking(f"state = 'running', {lease}")
        self.claim_behind = self._taking(f"state = 'blocked', {lease}")
        # What a claim took, where the statement itself can't return it.
        self.taken = f"SELECT {CLAIMED_COLUMNS} FROM {self.jobs} WHERE id {self.dialect.among} AND token = ?"
        self.landed = self.taken + self.dialect.locked
        self.paused_queues = f"SELECT queue FROM {self.paused}"
        # One job by its id: where it stands, and who stands first in its group (served by the index `group`).
        self.asked_for = f"SELECT state, queue, job_group, priority, available_at FROM {self.jobs} WHERE id = ?"
        self.first_in_group = " UNION ALL ".join(
            f"SELECT * FROM (SELECT {_LINE} FROM {self.jobs} WHERE job_group = ? AND state = '{state}'"
            f" AND lease_until IS NULL AND queue NOT IN ({self.paused_queues}) ORDER BY {_LINE} LIMIT 1) AS {state}"
            for state in ("ready", "blocked")
        )

    def _pausing(self, prefix: str) -> None:
        # Served by the primary key.
        self.pause = f"INSERT INTO {self.paused} (queue, paused_at) VALUES (?, ?)"
        self.resume = f"DELETE FROM {self.paused} WHERE queue = ?"
        # What wakes workers on other hosts, where the database can; the channel is that of drivers.notify.
        # Transactions that notify commit one after the other, so they do only for a worker that listens.
        listening = f"EXISTS (SELECT 1 FROM {self.workers} WHERE kind = 'work')"
        wake = f"SELECT pg_notify('{prefix}wake', '') WHERE {listening}"
        self.ring = wake if self.dialect.family == "postgresql" else ""

    def _taking(self, changes: str) -> str:
        chosen = f"id {self.dialect.among} AND lease_until IS NULL AND state IN ('ready', 'blocked')"
        if self.dialect.unless_locked:
            chosen = f"id = ANY(ARRAY(SELECT id FROM {self.jobs} WHERE {chosen}{self.dialect.unless_locked}))"
        return f"UPDATE {self.jobs}{self.dialect.by_id} SET {changes} WHERE {chosen}{self.dialect.returning}"

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
            ' "signal", error_class, error_message, traceback, stdout, stderr)'
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
        ours = f"name = ? AND job_id {self.dialect.among}"
        self.step_up = f"UPDATE {self.jobs} SET state = 'running' WHERE id = ?"
        self.hand_on = f"UPDATE {self.groups} SET job_id = ? WHERE {ours}"
        self.free = f"DELETE FROM {self.groups} WHERE {ours}"
        # Served by the index `group`.
        self.next_in_line = (
            f"SELECT id FROM {self.jobs} WHERE job_group = ? AND state = 'blocked' AND lease_until IS NULL"
            f" AND NOT EXISTS (SELECT 1 FROM {self.groups} WHERE name = ? AND job_id <> 0)"
            f" AND NOT EXISTS (SELECT 1 FROM {self.jobs} WHERE job_group = ? AND state = 'ready')"
            f" ORDER BY {_LINE} LIMIT 1"
        )
        self.unblock = (
            f"UPDATE {self.jobs} SET state = 'ready' WHERE id = ? AND state = 'blocked' AND lease_until IS NULL"
        )
        # Served by the index `ready`, whose first column is the state.
        self.stranded = (
            f"SELECT DISTINCT job_group FROM {self.jobs} WHERE state = 'blocked' AND lease_until IS NULL"
            f" AND NOT EXISTS (SELECT 1 FROM {self.groups} g WHERE g.name = {self.jobs}.job_group)"
            f" AND NOT EXISTS (SELECT 1 FROM {self.jobs} f WHERE f.job_group = {self.jobs}.job_group"
            " AND f.state = 'ready') ORDER BY job_group LIMIT ?"
        )
        self.still_held = f"SELECT id FROM {self.jobs} WHERE {fenced}"
        # The token alone won't do: who rescues a job settles it under the same one.
        self.already_settled = (
            f"SELECT id FROM {self.jobs} WHERE id = ? AND token = ? AND lease_until IS NULL"
            " AND state = ? AND started_at = ?"
        )

    def _maintaining(self) -> None:
        # Served by the index `held`.
        self.leases = f"SELECT id, token FROM {self.jobs} WHERE worker = ? AND lease_until IS NOT NULL ORDER BY id"
        self.renew = (
            f"UPDATE {self.jobs}{self.dialect.by_id} SET lease_until = ?"
            f" WHERE id {self.dialect.among} AND worker = ? AND lease_until IS NOT NULL"
        )
        # Only leases that have ended: their worker may have renewed them since somebody looked.
        self.take_over = (
            f"UPDATE {self.jobs}{self.dialect.by_id} SET worker = ?, token = ?"
            f" WHERE id {self.dialect.among} AND worker = ? AND lease_until <= ?"
        )
        self.owners = f"SELECT DISTINCT worker FROM {self.jobs} WHERE lease_until IS NOT NULL"
        self.held_by = (
            f"SELECT {CLAIMED_COLUMNS}, started_at, lease_until FROM {self.jobs}"
            f" WHERE worker = ? AND lease_until IS NOT NULL ORDER BY {_LINE}"
        )
        # Served by the index `future`.
        due = f"{FUTURE_STATES} AND available_at <= ?"
        self.due = f"SELECT id, job_group FROM {self.jobs} WHERE {due} ORDER BY available_at LIMIT ?"
        self.promote = f"UPDATE {self.jobs}{self.dialect.by_id} SET state = ? WHERE id {self.dialect.among} AND {due}"
        self.next_due = self._next_due()
        # Primary key, a table of few rows, and the indexes `held` and `future`.
        self.requests = (
            f"SELECT 1 AS kind, asked AS said, 0 AS number FROM {self.workers} WHERE name = ? AND asked IS NOT NULL"
            f" UNION ALL SELECT 2, queue, 0 FROM {self.paused}"
            f" UNION ALL SELECT 3, '', id FROM {self.jobs}"
            " WHERE worker = ? AND lease_until IS NOT NULL AND kill_requested <> 0"
            f" UNION ALL SELECT 5, '', job_id FROM {self.tails} WHERE wanted_until >= ?"
            f" UNION ALL SELECT 4, '', due.at FROM ({self.next_due}) AS due WHERE due.at IS NOT NULL"
        )
        # Served by the index `ended`.
        holding = f"EXISTS (SELECT 1 FROM {self.groups} g WHERE g.name = job_group AND g.job_id = {self.jobs}.id)"
        # A failed job that holds its group stays: without it, nobody could free the group.
        old = f"state {self.dialect.among} AND finished_at < ? AND NOT {holding}"
        self.prunable = f"SELECT id FROM {self.jobs} WHERE {old} ORDER BY finished_at LIMIT ?"
        if self.dialect.family == "sqlite":  # by the index `counted`, one step for each state and queue
            lanes = lanes_of(self.jobs, "SELECT value FROM json_each(?)")
            self.prunable = (
                f"{lanes} SELECT {self.jobs}.id FROM lanes CROSS JOIN {self.jobs}"
                f" ON {self.jobs}.state = lanes.state AND {self.jobs}.queue = lanes.queue"
                f" WHERE finished_at < ? AND NOT {holding} LIMIT ?"
            )
        self.prune = f"DELETE FROM {self.jobs} WHERE {old} AND id {self.dialect.among}"
        self.prune_attempts = (
            f"DELETE FROM {self.attempts} WHERE job_id {self.dialect.among}"
            f" AND NOT EXISTS (SELECT 1 FROM {self.jobs} j WHERE j.id = job_id)"
        )

    def _next_due(self) -> str:
        if self.dialect.family != "mysql":
            return f"SELECT min(available_at) AS at FROM {self.jobs} WHERE {FUTURE_STATES}"
        # Each of these is one step into the index; over all three states at once it would read every entry.
        each = (f"(SELECT min(available_at) FROM {self.jobs} WHERE state = '{state}') AS {state}" for state in _FUTURE)
        never = 2**63 - 1
        least = ", ".join(f"coalesce({state}, {never})" for state in _FUTURE)
        return f"SELECT nullif(least({least}), {never}) AS at FROM (SELECT {', '.join(each)}) AS earliest"

    def _steering(self) -> None:
        self.retry = (
            f"UPDATE {self.jobs} SET state = {self._due_state}, available_at = ?,"
            " spent_before = spent_before + attempt, attempt = 0, started_at = NULL, finished_at = NULL,"
            " waiting_since = NULL, unknown_since = NULL, outcome = NULL, error_class = NULL, error_message = NULL,"
            " result = NULL, warnings = NULL, kill_requested = 0,"
            " unique_key = CASE WHEN is_unique <> 0 THEN job_key ELSE NULL END"
            f" WHERE id = ? AND {ENDED_STATES}"
        )
        among = f"WHERE id {self.dialect.among} AND"
        self._making_due(among)
        self.retry_many = self.retry.replace("WHERE id = ? AND", among)
        self.ended = (
            f"SELECT id, CASE WHEN is_unique <> 0 THEN job_key END FROM {self.jobs}{self.dialect.by_id}"
            f" {among} {ENDED_STATES} ORDER BY id DESC{self.dialect.locked}"
        )
        # Served by the index `unique`.
        self.twins = f"SELECT unique_key, id FROM {self.jobs} WHERE unique_key {self.dialect.among}"
        self.cancel = (
            f"UPDATE {self.jobs} SET state = 'cancelled', started_at = NULL, finished_at = ?, outcome = NULL,"
            " unique_key = NULL,"
            " error_class = coalesce(?, error_class), error_message = coalesce(?, error_message) WHERE id = ?"
            " AND lease_until IS NULL"
            " AND state IN ('scheduled', 'ready', 'blocked', 'retrying', 'waiting', 'failed')"
        )
        alone = f"{among} job_group IS NULL AND"
        self.cancel_many = self.cancel.replace("WHERE id = ? AND", alone)
        free = self.cancel_many[self.cancel_many.index(alone) :]
        self.cancellable = f"SELECT id FROM {self.jobs}{self.dialect.by_id} {free} ORDER BY id{self.dialect.locked}"
        # Served by the primary keys. Locks the rows of groups that are held.
        shared = self.dialect.shared + (" OF g" if self.dialect.family == "postgresql" else "")
        self.share_groups = (
            f"SELECT g.name FROM {self.groups} g JOIN {self.jobs} j ON j.job_group = g.name"
            f" WHERE j.id {self.dialect.among} ORDER BY g.name{shared}"
        )
        self.unlock_groups = f"DELETE FROM {self.groups} WHERE name {self.dialect.among} AND job_id = 0"
        self.request_kill = f"UPDATE {self.jobs} SET kill_requested = 1 WHERE id = ? AND lease_until IS NOT NULL"

    def _making_due(self, among: str) -> None:
        # Served by the primary key. The attempts, and how long a task has been waiting, are kept.
        self.make_due = (
            f"UPDATE {self.jobs}{self.dialect.by_id} SET state = {self._due_state}, available_at = ?"
            f" {among} {FUTURE_STATES}"
        )
        self.not_due = f"SELECT id FROM {self.jobs}{self.dialect.by_id} {among} {FUTURE_STATES} ORDER BY id"
        self.not_due += self.dialect.locked

    def lock_groups(self, count: int) -> str:
        """Lock groups whether anybody holds them or not; nobody but this transaction sees a holder 0."""
        keep = {"mysql": "ON DUPLICATE KEY UPDATE job_id = job_id"}.get(
            self.dialect.family, f"ON CONFLICT (name) DO UPDATE SET job_id = {self.groups}.job_id"
        )
        return f"INSERT INTO {self.groups} (name, job_id) VALUES {', '.join(['(?, 0)'] * count)} {keep}"

    def _registering(self) -> None:
        # Served by the primary key, a worker's name.
        self.enter = (
            f"INSERT INTO {self.workers} (name, kind, host, pid, queues, version, started_at, seen_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        )
        self.beat = f"UPDATE {self.workers} SET seen_at = ?, state = ?, jobs_done = ?, memory = ? WHERE name = ?"
        self.leave = f"DELETE FROM {self.workers} WHERE name = ?"
        self.forget_silent = (
            f"DELETE FROM {self.workers} WHERE seen_at < ?"
            f" AND name NOT IN (SELECT worker FROM {self.jobs} WHERE lease_until IS NOT NULL AND worker IS NOT NULL)"
        )
        self.workers_seen = f"SELECT {WORKER_COLUMNS} FROM {self.workers} ORDER BY started_at, name"
        self.ask = f"UPDATE {self.workers} SET asked = ? WHERE name = ?"
        # Served by the primary key, a duty's name.
        self.take_duty = (
            f"UPDATE {self.duties} SET worker = ?, lease_until = ? WHERE name = ? AND (worker = ? OR lease_until <= ?)"
        )
        self.first_duty = f"INSERT INTO {self.duties} (name, worker, lease_until) VALUES (?, ?, ?)"
        self.leave_duty = f"UPDATE {self.duties} SET lease_until = 0 WHERE name = ? AND worker = ?"

    def _following(self) -> None:
        # Served by the primary key; there are as many rows as jobs that somebody follows.
        self.want_tail = f"UPDATE {self.tails} SET wanted_until = ? WHERE job_id = ? AND wanted_until >= ?"
        self.first_tail = f"INSERT INTO {self.tails} (job_id, wanted_until) VALUES (?, ?)"
        self.forget_tails = f"DELETE FROM {self.tails} WHERE wanted_until < ?"
        self.show_tail = (
            f"UPDATE {self.tails} SET token = ?, stdout_size = ?, stderr_size = ?, stdout = ?, stderr = ?"
            " WHERE job_id = ?"
        )
        self.see_tail = f"SELECT token, stdout_size, stderr_size, stdout, stderr FROM {self.tails} WHERE job_id = ?"

    def _troubling(self) -> None:
        # Served by the primary key, queue and job, and by that of the jobs.
        self.troubled_queues = f"SELECT DISTINCT queue FROM {self.troubles} ORDER BY queue"
        self.troubles_of = f"SELECT job_id FROM {self.troubles} WHERE queue = ? ORDER BY job_id"
        self.still_troubled = (
            f"SELECT t.job_id FROM {self.troubles} t JOIN {self.jobs} j ON j.id = t.job_id"
            " WHERE t.queue = ? AND j.state NOT IN ('finished', 'cancelled') LIMIT 1"
        )
        self.trouble = (
            f"INSERT INTO {self.troubles} (queue, job_id, since) SELECT queue, id, ? FROM {self.jobs}"
            f" WHERE id {self.dialect.among} AND NOT EXISTS"
            f" (SELECT 1 FROM {self.troubles} t WHERE t.queue = {self.jobs}.queue AND t.job_id = {self.jobs}.id)"
        )
        self.heal = f"DELETE FROM {self.troubles} WHERE queue = ? AND job_id {self.dialect.among}"
