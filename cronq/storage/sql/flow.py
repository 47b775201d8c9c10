"""The statements about jobs that come after others."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cronq.storage.sql.dialect import Names

NEEDED, HELD, _LOOKED = 4, 8, 16
"""Bits of `flow`: a job comes after this one; this one is pending, or was cancelled while it was; changes with each
look, because only a change of the row makes two nodes of a cluster wait for each other."""


class FlowStatements:
    """Served by the primary keys, and by the index `edges_parent`."""

    def __init__(self, names: Names) -> None:
        dialect, jobs, edges = names.dialect, names.jobs, names.edges
        among = f"{dialect.by_id} SET %s WHERE id {dialect.among}"
        held = f"(flow & {HELD}) <> 0 AND state IN ('pending', 'cancelled')"
        self.hold_one = f"UPDATE {jobs} SET flow = coalesce(flow, 0) | {HELD} WHERE id = ?"
        self.add_edge = f"INSERT INTO {edges} (child, parent, kind) VALUES (?, ?, ?)"
        self.drop_edges = f"DELETE FROM {edges} WHERE child = ?"
        self.note = f"INSERT INTO {names.loose_ends} (job_id) VALUES (?)"
        self.note_many = (
            f"INSERT INTO {names.loose_ends} (job_id) SELECT id FROM {jobs}"
            f" WHERE id {dialect.among} AND flow IS NOT NULL"
        )
        self.noted = f"SELECT id, job_id FROM {names.loose_ends} ORDER BY id LIMIT ?"
        self.drawn = f"DELETE FROM {names.loose_ends} WHERE id {dialect.among}"
        self.with_flow = f"SELECT id, flow FROM {jobs} WHERE id {dialect.among} AND flow IS NOT NULL"
        self.parent_ids = f"SELECT parent FROM {edges} WHERE child = ? ORDER BY parent"
        self.child_ids = f"SELECT child FROM {edges} WHERE parent = ? AND child > ? ORDER BY child LIMIT ?"
        self.need = (
            f"UPDATE {jobs} SET flow = coalesce(flow, 0) | {NEEDED}"
            f" WHERE id = ? AND (flow IS NULL OR (flow & {NEEDED}) = 0)"
        )
        state = "p.state, p.state = 'cancelled' AND p.started_at IS NOT NULL AND p.outcome IS NULL"
        why = "CASE WHEN p.error_class = 'Unmet' THEN p.error_message END"
        self.parents = (
            f"SELECT e.child, e.parent, e.kind, {state}, {why} FROM {edges} e LEFT JOIN {jobs} p ON p.id = e.parent"
            f" WHERE e.child {dialect.among} ORDER BY e.child, e.parent, e.kind"
        )
        self.children = (
            f"SELECT c.id, e.kind, c.state FROM {edges} e JOIN {jobs} c ON c.id = e.child WHERE e.parent = ?"
            " ORDER BY c.id LIMIT ?"
        )
        self.standing = f"SELECT {state.replace('p.', '')} FROM {jobs} WHERE id = ?"
        self.is_held = f"SELECT id FROM {jobs} WHERE id {dialect.among} AND {held}"
        toggled = f"flow = CASE WHEN (flow & {_LOOKED}) = 0 THEN flow + {_LOOKED} ELSE flow - {_LOOKED} END"
        self.lock = f"UPDATE {jobs}" + among % toggled + f" AND {held}"
        self.held = (
            f"SELECT id, state, error_class, CASE WHEN is_unique <> 0 THEN job_key END, job_group FROM {jobs}"
            f" WHERE id {dialect.among} AND {held} ORDER BY id"
        )
        # `scheduled`, so that it enters the line of its group as every job does that comes due.
        released = f"state = 'scheduled', flow = nullif(flow & {NEEDED}, 0)"
        self.release = f"UPDATE {jobs}" + among % released + " AND state = 'pending'"
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
