"""Define the statements on incidents: the failed jobs of each queue about which a notice was sent."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cronq.storage.sql.dialect import Names


class IncidentStatements:
    """The statements on incidents, served by their primary key, queue and job, and by that of the jobs."""

    def __init__(self, names: Names) -> None:
        dialect = names.dialect
        self.queues = f"SELECT DISTINCT queue FROM {names.incidents} ORDER BY queue"
        self.jobs_of = f"SELECT job_id FROM {names.incidents} WHERE queue = ? ORDER BY job_id"
        self.still_open = (
            f"SELECT t.job_id FROM {names.incidents} t JOIN {names.jobs} j ON j.id = t.job_id"
            " WHERE t.queue = ? AND j.state NOT IN ('finished', 'cancelled') LIMIT 1"
        )
        self.record = (
            f"INSERT INTO {names.incidents} (queue, job_id, since) SELECT queue, id, ? FROM {names.jobs}"
            f" WHERE id {dialect.in_list} AND NOT EXISTS"
            f" (SELECT 1 FROM {names.incidents} t WHERE t.queue = {names.jobs}.queue AND t.job_id = {names.jobs}.id)"
        )
        self.forget = f"DELETE FROM {names.incidents} WHERE queue = ? AND job_id {dialect.in_list}"
