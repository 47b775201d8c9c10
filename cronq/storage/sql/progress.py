"""Define the statements on the progress of running jobs."""

from __future__ import annotations

from cronq.storage.sql.columns import HAS_PROGRESS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cronq.storage.sql.dialect import Names

_OTHERS = (1 << 15) - 1 - HAS_PROGRESS


class ProgressStatements:
    """The statements on progress, served by the primary keys; each running job that shows its progress has one row."""

    def __init__(self, names: Names) -> None:
        in_list = names.dialect.in_list
        self.update = (
            f"UPDATE {names.progress} SET done = ?, total = ?, rate = ?, note = ?, at = ?"
            " WHERE job_id = ? AND token = ?"
        )
        self.mark = (
            f"UPDATE {names.jobs} SET flow = coalesce(flow, 0) | {HAS_PROGRESS}"
            " WHERE id = ? AND token = ? AND lease_until IS NOT NULL"
        )
        self.first = (
            f"INSERT INTO {names.progress} (done, total, rate, note, at, job_id, token) VALUES (?, ?, ?, ?, ?, ?, ?)"
        )
        self.drop = f"DELETE FROM {names.progress} WHERE job_id {in_list}"
        self.unmark = (
            f"UPDATE {names.jobs}{names.dialect.by_id} SET flow = nullif(flow & {_OTHERS}, 0)"
            f" WHERE id {in_list} AND (flow & {HAS_PROGRESS}) <> 0"
        )
        self.of = f"SELECT job_id, done, total, rate, note, at FROM {names.progress} WHERE job_id {in_list}"
        self.all = f"SELECT job_id, done, total, rate, note, at FROM {names.progress} ORDER BY job_id"
