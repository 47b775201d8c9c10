"""Define the statements on jobs that come after others."""

from __future__ import annotations

from cronq.storage.sql.columns import HELD, KEPT, LOOKED, NEEDED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cronq.storage.sql.dialect import Names


class FlowStatements:
    """The statements on jobs that come after others, served by the primary keys and the index `edges_parent`.

    A batch has its id with a minus sign where it is a parent in `edges`, and in notes, the rows of `loose_ends`.
    """

    def __init__(self, names: Names) -> None:
        dialect, jobs, edges = names.dialect, names.jobs, names.edges
        update_chosen = f"{dialect.by_id} SET %s WHERE id {dialect.in_list}"
        held = f"(flow & {HELD}) <> 0 AND state IN ('pending', 'cancelled')"
        self.hold_one = f"UPDATE {jobs} SET flow = coalesce(flow, 0) | {HELD} WHERE id = ?"
        self.add_edge = f"INSERT INTO {edges} (child, parent, kind) VALUES (?, ?, ?)"
        self.drop_edges = f"DELETE FROM {edges} WHERE child = ?"
        self.note = f"INSERT INTO {names.loose_ends} (job_id) VALUES (?)"
        self.note_many = (
            f"INSERT INTO {names.loose_ends} (job_id) SELECT id FROM {jobs}"
            f" WHERE id {dialect.in_list} AND flow IS NOT NULL"
        )
        self.noted = f"SELECT id, job_id FROM {names.loose_ends} ORDER BY id LIMIT ?"
        self.forget_notes = f"DELETE FROM {names.loose_ends} WHERE id {dialect.in_list}"
        batch = f"(SELECT m.batch FROM {names.members} m WHERE m.job = {jobs}.id)"
        self.with_flow = f"SELECT id, flow, {batch} FROM {jobs} WHERE id {dialect.in_list} AND flow IS NOT NULL"
        self.noted_jobs = f"SELECT id, flow, state, {batch} FROM {jobs} WHERE id {dialect.in_list}"
        self.parent_ids = f"SELECT parent FROM {edges} WHERE child = ? ORDER BY parent"
        self.child_ids = f"SELECT child FROM {edges} WHERE parent = ? AND child > ? ORDER BY child LIMIT ?"
        self.need = (
            f"UPDATE {jobs} SET flow = coalesce(flow, 0) | {NEEDED}"
            f" WHERE id = ? AND (flow IS NULL OR (flow & {NEEDED}) = 0)"
        )
        self._add_reads(names)
        self.is_held = f"SELECT id FROM {jobs} WHERE id {dialect.in_list} AND {held}"
        toggled = f"flow = CASE WHEN (flow & {LOOKED}) = 0 THEN flow + {LOOKED} ELSE flow - {LOOKED} END"
        self.lock = f"UPDATE {jobs}" + update_chosen % toggled + f" AND {held}"
        self.held = (
            f"SELECT id, state, error_class, CASE WHEN is_unique <> 0 THEN job_key END, job_group FROM {jobs}"
            f" WHERE id {dialect.in_list} AND {held} ORDER BY id"
        )
        # To `scheduled`, not `ready`: it is promoted like every due job, and blocked if its group is held.
        released = f"state = 'scheduled', flow = nullif(flow & {KEPT}, 0)"
        self.release = f"UPDATE {jobs}" + update_chosen % released + " AND state = 'pending'"
        self.cancel = (
            f"UPDATE {jobs} SET state = 'cancelled', finished_at = ?, unique_key = NULL, error_class = 'Unmet',"
            " error_message = ? WHERE id = ? AND state = 'pending'"
        )
        unmet = "id = ? AND state = 'cancelled' AND error_class = 'Unmet'"
        self.put_back = (
            f"UPDATE {jobs} SET state = 'pending', finished_at = NULL, error_class = NULL, error_message = NULL,"
            f" unique_key = CASE WHEN is_unique <> 0 THEN job_key END WHERE {unmet}"
        )
        self.explain = f"UPDATE {jobs} SET error_message = ? WHERE {unmet}"

    def _add_reads(self, names: Names) -> None:
        """Add the statements that read the states of jobs and batches that a job comes after, or that come after it."""
        dialect, jobs, edges = names.dialect, names.jobs, names.edges
        skipped = "p.state = 'cancelled' AND p.started_at IS NOT NULL AND p.outcome IS NULL"
        of_batch = "coalesce(b.outcome, CASE WHEN b.closed_at IS NULL THEN 'open' ELSE 'running' END)"
        why = "CASE WHEN p.error_class = 'Unmet' THEN p.error_message END"
        batch = f"(SELECT {of_batch} FROM {names.batches} b WHERE b.id = -e.parent)"
        self.parents = (
            f"SELECT e.child, e.parent, e.kind, coalesce(p.state, {batch}), {skipped}, {why} FROM {edges} e"
            f" LEFT JOIN {jobs} p ON p.id = e.parent WHERE e.child {dialect.in_list} ORDER BY e.child, e.parent, e.kind"
        )
        self.children = (
            f"SELECT c.id, e.kind, c.state FROM {edges} e JOIN {jobs} c ON c.id = e.child WHERE e.parent = ?"
            " ORDER BY c.id LIMIT ?"
        )
        self.standing = f"SELECT p.state, {skipped} FROM {jobs} p WHERE p.id = ?"
        self.standing_batch = f"SELECT {of_batch}, 1 = 0 FROM {names.batches} b WHERE b.id = ?"
