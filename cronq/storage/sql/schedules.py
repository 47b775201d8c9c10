"""Define the statements on schedules, their declarations and their ledger."""

from __future__ import annotations

from cronq.storage.sql.columns import UNFINISHED_STATES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cronq.storage.sql.dialect import Names

SCHEDULE_COLUMNS = (
    "name, definition, next_at, due_at, last_at, tz_version, paused_at, paused_until, paused_by, reason, alerted_at"
)
"""The columns of a schedule, in the order of the fields of cronq.model.schedule.StoredSchedule."""

FIRE_COLUMNS = "schedule, fire_at, since, count, outcome, reason, job_id, late, host, decided_at"
"""The columns of the ledger, in the order of the fields of cronq.model.schedule.Decided."""

DECLARATION_COLUMNS = "host, name, definition_hash, source, seen_at, declared_at"
"""The columns of a declaration, in the order of the fields of cronq.model.schedule.Declaration."""


class ScheduleStatements:
    """The statements on schedules; comments name the indexes that serve them.

    There are few schedules, and many rows of the ledger.
    """

    def __init__(self, names: Names) -> None:
        self._null_safe_equals = names.dialect.null_safe_equals
        self._firing(names)
        self._ledger(names)
        self._declaring(names)
        self._steering(names)

    def _unchanged(self) -> str:
        columns = ("next_at", "definition", "paused_at")
        return f"name = ? AND {' AND '.join(self._null_safe_equals.format(column) for column in columns)}"

    def _firing(self, names: Names) -> None:
        # Served by the index `due`.
        self.next_due = f"SELECT min(due_at) FROM {names.schedules}"
        self.due = f"SELECT {SCHEDULE_COLUMNS} FROM {names.schedules} WHERE due_at <= ? ORDER BY due_at, name LIMIT ?"
        # Served by the primary key. Of processes that have read the same row, only one finds it unchanged.
        self.advance = (
            f"UPDATE {names.schedules} SET next_at = ?, due_at = ?, last_at = ?, tz_version = ?"
            f" WHERE {self._unchanged()}"
        )
        self.lock = f"SELECT name FROM {names.schedules} WHERE name = ?{names.dialect.for_update}"
        self.mark_job = f"UPDATE {names.jobs} SET schedule = ?, scheduled_for = ? WHERE id = ?"
        # Served by the index `group`.
        self.unfinished_in_group = f"SELECT count(*) FROM {names.jobs} WHERE job_group = ? AND {UNFINISHED_STATES}"
        # Served by the primary key, a lease's name: one row has the id of this installation as its worker.
        self.installation = f"SELECT worker FROM {names.leases} WHERE name = ?"
        self.first_installation = f"INSERT INTO {names.leases} (name, worker, lease_until) VALUES (?, ?, 0)"

    def _ledger(self, names: Names) -> None:
        # Served by the primary key, schedule and due time.
        holes = ", ".join("?" * len(FIRE_COLUMNS.split(",")))
        self.record = f"INSERT INTO {names.fires} ({FIRE_COLUMNS}) VALUES ({holes})"
        self.ledger = (
            f"SELECT {FIRE_COLUMNS} FROM {names.fires} WHERE schedule = ? AND fire_at >= ? AND fire_at < ?"
            " ORDER BY fire_at DESC LIMIT ?"
        )
        self.enqueued = (
            f"SELECT fire_at FROM {names.fires} WHERE schedule = ? AND fire_at >= ? AND fire_at < ?"
            " AND job_id IS NOT NULL"
        )
        self.last_decisions = (
            f"SELECT {', '.join(f'f.{column}' for column in FIRE_COLUMNS.split(', '))} FROM {names.schedules} s"
            f" JOIN {names.fires} f ON f.schedule = s.name"
            f" AND f.fire_at = (SELECT max(fire_at) FROM {names.fires} WHERE schedule = s.name)"
        )
        self.decided = f"SELECT fire_at FROM {names.fires} WHERE schedule = ? AND fire_at {names.dialect.in_list}"
        self.without_job = (
            f"SELECT {FIRE_COLUMNS} FROM {names.fires} WHERE schedule = ? AND fire_at >= ? AND since <= ?"
            " AND job_id IS NULL"
        )
        self.erase = f"DELETE FROM {names.fires} WHERE schedule = ? AND fire_at = ?"
        # Served by the primary keys; reads only the newest decisions.
        self.latest_jobs = (
            f"SELECT f.outcome, f.count, j.state, j.started_at, j.finished_at FROM {names.fires} f"
            f" LEFT JOIN {names.jobs} j ON j.id = f.job_id WHERE f.schedule = ? ORDER BY f.fire_at DESC LIMIT ?"
        )
        # Served by the primary keys; reads the decisions of a day, and those after the last success, of each schedule.
        self.figures = (
            "SELECT s.name, s.due_at, s.paused_at, s.paused_until, s.alerted_at,"
            f" (SELECT j.finished_at FROM {names.fires} f JOIN {names.jobs} j ON j.id = f.job_id"
            " WHERE f.schedule = s.name AND j.state = 'finished' ORDER BY f.fire_at DESC LIMIT 1),"
            f" (SELECT sum(f.count) FROM {names.fires} f"
            " WHERE f.schedule = s.name AND f.fire_at >= ? AND f.outcome = 'missed')"
            f" FROM {names.schedules} s ORDER BY s.name"
        )
        # Served by the primary key, for one schedule at a time.
        self.nth_newest = f"SELECT fire_at FROM {names.fires} WHERE schedule = ? ORDER BY fire_at DESC LIMIT 1 OFFSET ?"
        self.prune_ledger = f"DELETE FROM {names.fires} WHERE schedule = ? AND fire_at < ?"
        self.forget_ledger = f"DELETE FROM {names.fires} WHERE schedule = ?"
        self.rename_ledger = f"UPDATE {names.fires} SET schedule = ? WHERE schedule = ?"

    def _declaring(self, names: Names) -> None:
        # Served by the primary keys, host and name, or name.
        holes = ", ".join("?" * len(DECLARATION_COLUMNS.split(",")))
        self.declared_by = f"SELECT {DECLARATION_COLUMNS} FROM {names.declarations} WHERE host = ? ORDER BY name"
        self.any_declaration = f"SELECT 1 FROM {names.declarations} LIMIT 1"
        self.all_declarations = f"SELECT {DECLARATION_COLUMNS} FROM {names.declarations} ORDER BY name, host"
        # One statement, because two processes of one host may declare a schedule for the first time at once.
        said_before = names.dialect.or_replace("host, name", "definition_hash", "source", "seen_at", "declared_at")
        self.declare = f"INSERT INTO {names.declarations} ({DECLARATION_COLUMNS}) VALUES ({holes}) {said_before}"
        # Schedules that hosts seen since an instant declare differently, unchanged since another instant.
        fresh = "(seen_at >= ? OR host = '*')"
        differing = (
            f"SELECT name FROM {names.declarations} WHERE {fresh} GROUP BY name"
            " HAVING min(definition_hash) <> max(definition_hash) AND max(coalesce(declared_at, 0)) <= ?"
        )
        self.differing = (
            f"SELECT name, host FROM {names.declarations} WHERE {fresh} AND name IN ({differing}) ORDER BY name, host"
        )
        self.see = f"UPDATE {names.declarations} SET seen_at = ? WHERE host = ? AND name {names.dialect.in_list}"
        self.undeclare = f"DELETE FROM {names.declarations} WHERE host = ? AND name {names.dialect.in_list}"
        self.undeclare_everywhere = f"DELETE FROM {names.declarations} WHERE name = ?"
        self.undeclare_host = f"DELETE FROM {names.declarations} WHERE host = ?"
        self.undeclare_others = f"DELETE FROM {names.declarations} WHERE host <> ?"
        self.forget_declarations = f"DELETE FROM {names.declarations} WHERE seen_at < ? AND host <> '*'"

    def _steering(self, names: Names) -> None:
        # Served by the primary key; there are few schedules.
        self.all = f"SELECT {SCHEDULE_COLUMNS} FROM {names.schedules} ORDER BY name"
        self.one = f"SELECT {SCHEDULE_COLUMNS} FROM {names.schedules} WHERE name = ?"
        holes = ", ".join("?" * len(SCHEDULE_COLUMNS.split(",")))
        self.add = f"INSERT INTO {names.schedules} ({SCHEDULE_COLUMNS}) VALUES ({holes})"
        self.define = (
            f"UPDATE {names.schedules} SET definition = ?, next_at = ?, due_at = ?, last_at = ?, tz_version = ?"
            f" WHERE {self._unchanged()}"
        )
        self.rename = f"UPDATE {names.schedules} SET name = ? WHERE name = ?"
        self.pause = (
            f"UPDATE {names.schedules} SET paused_at = ?, paused_until = ?, paused_by = ?, reason = ? WHERE name = ?"
        )
        self.resume = (
            f"UPDATE {names.schedules} SET paused_at = NULL, paused_until = NULL, paused_by = NULL, reason = NULL"
            " WHERE name = ? AND paused_at IS NOT NULL"
        )
        # Reads the whole small table, for schedules with an `alert_after` and those about which a notice was sent.
        self.watched = (
            f"SELECT {SCHEDULE_COLUMNS} FROM {names.schedules}"
            " WHERE alerted_at IS NOT NULL OR definition LIKE '%\"alert_after\":%' ORDER BY name"
        )
        self.alert = f"UPDATE {names.schedules} SET alerted_at = ? WHERE name = ? AND alerted_at IS NULL"
        self.end_alert = f"UPDATE {names.schedules} SET alerted_at = NULL WHERE name = ? AND alerted_at IS NOT NULL"
        self.remove = f"DELETE FROM {names.schedules} WHERE name = ?"
