"""Define the statements that record what users did to jobs and queues by hand."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cronq.storage.sql.dialect import Names

_WHAT = "verb, at, who, reason"


class ActionStatements:
    """The statements on users' actions, served by the indexes on `job_id` and `queue`."""

    def __init__(self, names: Names) -> None:
        dialect = names.dialect
        self.on_jobs = (
            f"INSERT INTO {names.actions} (job_id, {_WHAT}) SELECT id, ?, ?, ?, ? FROM {names.jobs}"
            f" WHERE id {dialect.in_list}"
        )
        self.on_queue = f"INSERT INTO {names.actions} (queue, {_WHAT}) VALUES (?, ?, ?, ?, ?)"
        self.forget_queue = f"DELETE FROM {names.actions} WHERE queue = ?"
        self.of_job = f"SELECT {_WHAT} FROM {names.actions} WHERE job_id = ? ORDER BY id"
        self.of_paused = (
            f"SELECT a.queue, a.verb, a.at, a.who, a.reason FROM {names.actions} a"
            f" JOIN {names.paused} p ON p.queue = a.queue WHERE a.verb = 'paused' ORDER BY a.id"
        )
        # Served by the primary key.
        newest = f"SELECT id, job_id, queue, {_WHAT} FROM {names.actions} WHERE id < ? ORDER BY id DESC LIMIT ?"
        self.latest = (
            "SELECT min(id), verb, at, who, reason, queue, count(*), min(job_id), max(job_id)"
            f" FROM ({newest}) newest GROUP BY verb, at, who, reason, queue ORDER BY min(id) DESC LIMIT ?"
        )
        self.prune = (
            f"DELETE FROM {names.actions} WHERE job_id {dialect.in_list}"
            f" AND NOT EXISTS (SELECT 1 FROM {names.jobs} j WHERE j.id = job_id)"
        )
