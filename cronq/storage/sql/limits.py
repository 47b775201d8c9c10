"""Define the statements on limits and on the jobs under them."""

from __future__ import annotations

from cronq.storage.sql.columns import AHEAD, CLAIM_ORDER, CLAIMABLE_STATES, HELD, LIMITED, UNFINISHED_STATES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cronq.storage.sql.dialect import Names

PLACE, WAITING, ELSEWHERE, BEHIND, ASIDE = range(5)
"""The values of the column `place`, for each job under a limit.

PLACE: the job has a place. WAITING: it waits for one. ELSEWHERE: it needs none now, because it is scheduled, retrying
or waiting, comes after jobs that have not ended, or has ended itself. BEHIND: another job of its group is ahead of it.
ASIDE: its place went to another job, because its queue is paused or no runner takes jobs of it.
"""


class LimitStatements:
    """The statements on limits, served by the primary keys and the indexes `limited_line` and `limited_group`."""

    def __init__(self, names: Names) -> None:
        self._defining(names)
        self._admitting(names)
        self._looking(names)

    def _defining(self, names: Names) -> None:
        limits, in_list = names.limits, names.dialect.in_list
        bounds = "concurrency, starts, period"
        own = "own_concurrency, own_starts, own_period"
        self.defined = f"SELECT name, pattern, {bounds}, {own} FROM {limits} WHERE name {in_list} ORDER BY name"
        self.all = f"SELECT name, pattern, {bounds}, {own}, opens_at FROM {limits} ORDER BY name"
        once = names.dialect.or_lock(limits, "name", "looked")
        self.define = f"INSERT INTO {limits} (name, pattern, {bounds}, looked) VALUES (?, ?, ?, ?, ?, 0) {once}"
        self.redefine = f"UPDATE {limits} SET concurrency = ?, starts = ?, period = ? WHERE name = ?"
        self.set = f"UPDATE {limits} SET own_concurrency = ?, own_starts = ?, own_period = ? WHERE name = ?"
        self.under = f"SELECT name FROM {limits} WHERE pattern = ? ORDER BY name"

    def _admitting(self, names: Names) -> None:
        dialect, jobs, limited = names.dialect, names.jobs, names.limited
        # Changes the row: in a cluster only that, not a lock, keeps two nodes from admitting jobs at once.
        self.lock = f"UPDATE {names.limits} SET looked = looked + 1 WHERE name = ?"
        self.open_at = f"UPDATE {names.limits} SET opens_at = ? WHERE name = ?"
        self.add = (
            f"INSERT INTO {limited} (job_id, limit_name, place, priority, due_at, job_group, since)"
            f" SELECT id, ?, CASE WHEN state <> 'pending' OR (flow & {HELD}) <> 0 THEN {ELSEWHERE}"
            f" WHEN job_group IS NULL THEN {WAITING} ELSE {BEHIND} END, priority, available_at, job_group, ?"
            f" FROM {jobs} WHERE id {dialect.in_list}"
        )
        self.mark = f"UPDATE {jobs}{dialect.by_id} SET flow = coalesce(flow, 0) | {LIMITED} WHERE id {dialect.in_list}"
        value = f"(SELECT j.%s FROM {jobs} j WHERE j.id = {limited}.job_id)"
        self.wait_for_place = (
            f"UPDATE {limited} SET place = CASE WHEN job_group IS NULL THEN {WAITING} ELSE {BEHIND} END,"
            f" priority = {value % 'priority'}, due_at = {value % 'available_at'} WHERE job_id {dialect.in_list}"
        )
        self.update = (
            f"UPDATE {limited} SET priority = {value % 'priority'}, due_at = {value % 'available_at'},"
            f" job_group = {value % 'job_group'} WHERE job_id {dialect.in_list}"
        )
        # Ordered like the index: otherwise PostgreSQL may read the table from its start until it finds a row.
        order = "priority, due_at, job_id"
        self.any_waiting = (
            f"SELECT job_id FROM {limited} WHERE place = {WAITING} AND limit_name = ? ORDER BY {order} LIMIT 1"
        )
        # Not ordered: for the order of the ids, SQLite would read the whole table.
        self.places = (
            "SELECT l.job_id, j.state, j.lease_until, j.started_at, j.queue, l.since, l.priority, l.due_at"
            f" FROM {limited} l LEFT JOIN {jobs} j ON j.id = l.job_id"
            f" WHERE l.place = {PLACE} AND l.limit_name = ?"
        )
        self.first = (
            f"SELECT job_id, job_group FROM {limited} WHERE place = ? AND limit_name = ?"
            " ORDER BY priority, due_at, job_id LIMIT ?"
        )
        self.standing = (
            f"SELECT id, state, coalesce(flow, 0) & {HELD}, available_at FROM {jobs} WHERE id {dialect.in_list}"
            f" ORDER BY id{dialect.for_update}"
        )
        # `+ 0` keeps engines from using the index on `place`, which leads to all jobs that wait.
        self.move = f"UPDATE {limited} SET place = ?, since = ? WHERE job_id {dialect.in_list} AND place + 0 = ?"
        moved = f"UPDATE {jobs}{dialect.by_id} SET state = '%s' WHERE id {dialect.in_list} AND state = '%s'"
        self.admit = moved % ("ready", "pending")
        self.put_off = moved % ("scheduled", "pending")
        self.take_back = moved % ("pending", "ready")
        self._changing(names)
        once = dialect.or_lock(names.starts, "limit_name, started_at, job_id", "job_id")
        self.start = f"INSERT INTO {names.starts} (limit_name, started_at, job_id) VALUES (?, ?, ?) {once}"
        self.started = (
            f"SELECT started_at FROM {names.starts} WHERE limit_name = ? AND started_at > ? ORDER BY started_at"
        )
        rates = f"SELECT 1 FROM {names.limits} d WHERE (d.name = l.limit_name OR d.name = (SELECT p.pattern"
        under_rate = (
            f"SELECT l.limit_name, j.started_at, l.job_id FROM {limited} l JOIN {jobs} j ON j.id = l.job_id"
            f" WHERE l.job_id {dialect.in_list} AND l.place + 0 = {PLACE}"
            f" AND EXISTS ({rates} FROM {names.limits} p WHERE p.name = l.limit_name))"
            " AND (d.starts IS NOT NULL OR d.own_starts IS NOT NULL))"
        )
        self.unrecorded = f"{under_rate} AND j.started_at IS NOT NULL"
        self.ready_under_rate = f"{under_rate} AND j.state = 'ready' AND j.lease_until IS NULL"
        self.forget_starts = f"DELETE FROM {names.starts} WHERE limit_name = ? AND started_at <= ?"

    def _changing(self, names: Names) -> None:
        """Add the statements that put existing jobs under another limit, or under none."""
        dialect, jobs = names.dialect, names.jobs
        chosen = f"id {dialect.in_list}"
        self.editable = (
            f"SELECT id FROM {jobs} WHERE {chosen} AND lease_until IS NULL AND {UNFINISHED_STATES}"
            f" AND state <> 'running' ORDER BY id{dialect.for_update}"
        )
        self.hold_back = f"UPDATE {jobs}{dialect.by_id} SET state = 'pending' WHERE {chosen} AND {CLAIMABLE_STATES}"
        # To `scheduled`, not `ready`: it is promoted like every due job, and blocked if its group is held.
        self.free = (
            f"UPDATE {jobs}{dialect.by_id} SET"
            f" state = CASE WHEN state = 'pending' AND (flow & {HELD}) = 0 THEN 'scheduled' ELSE state END,"
            f" flow = nullif(flow - {LIMITED}, 0) WHERE {chosen} AND (flow & {LIMITED}) <> 0"
        )
        self.leave = f"DELETE FROM {names.limited} WHERE job_id {dialect.in_list}"

    def _looking(self, names: Names) -> None:
        dialect, jobs, limited = names.dialect, names.jobs, names.limited
        self.of = f"SELECT job_id, limit_name, place, job_group FROM {limited} WHERE job_id {dialect.in_list}"
        self.next_waiting = f"SELECT min(limit_name) FROM {limited} WHERE place = ? AND limit_name > ?"
        self.holders = f"SELECT name, job_id FROM {names.groups} WHERE name {dialect.in_list} ORDER BY name"
        self.next_group = f"SELECT min(job_group) FROM {limited} WHERE place + 0 = {BEHIND} AND job_group > ?"
        self.ahead_in_group = (
            f"SELECT l.job_id FROM {limited} l JOIN {jobs} j ON j.id = l.job_id WHERE l.job_group = ?"
            f" AND l.place IN ({PLACE}, {WAITING}, {ASIDE}) AND j.state IN ('pending', 'ready', 'running') LIMIT 1"
        )
        unlimited = f"(flow IS NULL OR (flow & {LIMITED}) = 0)"
        self.ready_in_group = (
            f"SELECT priority, available_at, id FROM {jobs} WHERE job_group = ? AND state = 'ready' AND {unlimited}"
            f" ORDER BY {CLAIM_ORDER} LIMIT 1"
        )
        self.mark_ahead = (
            f"UPDATE {jobs} SET flow = coalesce(flow, 0) | {AHEAD} WHERE id = ? AND {unlimited}"
            f" AND (flow IS NULL OR (flow & {AHEAD}) = 0)"
        )
        self.first_in_group = (
            f"SELECT job_id, limit_name, priority, due_at FROM {limited} WHERE job_group = ? AND place = {BEHIND}"
            " ORDER BY priority, due_at, job_id LIMIT 1"
        )
        self.one_in_group = f"SELECT job_id, limit_name FROM {limited} WHERE job_id = ? AND place = {BEHIND}"
        self.any = f"SELECT name FROM {names.limits} ORDER BY name LIMIT 1"
        self.next_opening = f"SELECT min(opens_at) FROM {names.limits} WHERE opens_at IS NOT NULL"
        self.opened = f"SELECT name FROM {names.limits} WHERE opens_at <= ? ORDER BY opens_at LIMIT 100"
        held = f"l.place = {PLACE} AND (j.state = 'ready' OR j.lease_until IS NOT NULL)"
        waits = f"l.place IN ({WAITING}, {BEHIND}, {ASIDE}) AND j.state = 'pending'"
        since = f"min(CASE WHEN l.place <> {BEHIND} THEN l.due_at END)"
        self.figures = (
            f"SELECT l.place, l.limit_name, count(*), {since} FROM {limited} l JOIN {jobs} j ON j.id = l.job_id"
            f" WHERE l.place IN ({PLACE}, {WAITING}, {BEHIND}, {ASIDE}) AND (({held}) OR ({waits}))"
            " GROUP BY l.place, l.limit_name"
        )
        self.before = (
            f"SELECT count(*) FROM {limited} WHERE place = {WAITING} AND limit_name = ? AND (priority < ?"
            " OR (priority = ? AND (due_at < ? OR (due_at = ? AND job_id < ?))))"
        )
        self.waiting = (
            f"SELECT job_id, priority, due_at FROM {limited} WHERE place = {WAITING} AND limit_name = ?"
            " ORDER BY priority, due_at, job_id LIMIT ?"
        )
        self.place_of = f"SELECT limit_name, place, priority, due_at FROM {limited} WHERE job_id = ?"
        self.prune = (
            f"DELETE FROM {limited} WHERE job_id {dialect.in_list}"
            f" AND NOT EXISTS (SELECT 1 FROM {jobs} j WHERE j.id = job_id)"
        )
