"""Define the statements that settle jobs."""

from __future__ import annotations

from cronq.storage.sql.columns import ATTEMPT_COLUMNS, ATTEMPT_FIELDS, FINISHED, NEEDED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cronq.storage.sql.dialect import Names


class SettleStatements:
    """The statements that settle jobs, served by the primary key.

    Each write of an outcome has the condition that the row still has the token of the claim.
    """

    def __init__(self, names: Names) -> None:
        fenced = "id = ? AND token = ? AND lease_until IS NOT NULL"
        self.settle = (
            f"UPDATE {names.jobs} SET state = ?, available_at = coalesce(?, available_at), attempt = attempt - ?,"
            " snoozes = snoozes + ?, crashes = crashes + ?, waiting_since = ?, unknown_since = ?,"
            " started_at = ?, finished_at = ?, outcome = ?, error_class = ?, error_message = ?,"
            " result = ?, warnings = ?, notes = ?, stdout = ?, stderr = ?, pid = ?, peak_memory = ?,"
            " memory_before = ?, cpu_time = ?, unique_key = CASE WHEN ? THEN NULL ELSE unique_key END,"
            f" kill_requested = 0, lease_until = NULL WHERE {fenced}"
        )
        # Neither writes anything if another job came after this one meanwhile: the settlement has consequences then.
        alone, unneeded = "AND flow IS NULL", f"AND (flow & {NEEDED}) = 0"
        self.settle_alone = f"{self.settle} {alone}"
        self.settle_unneeded = f"{self.settle} {unneeded}"
        finished = ", ".join(f"{column} = ?" for column in FINISHED)
        # For the most common case, at half the cost: a first attempt that succeeded without output or notes.
        finish = (
            f"UPDATE {names.jobs} SET state = 'finished', outcome = 'success', {finished},"
            f" kill_requested = 0, lease_until = NULL WHERE {fenced}"
        )
        self.finish_any = finish
        self.finish = f"{finish} {alone}"
        self.finish_unneeded = f"{finish} {unneeded}"
        self.record_attempt = (
            f"INSERT INTO {names.attempts} (job_id, {ATTEMPT_COLUMNS}) VALUES (?{', ?' * len(ATTEMPT_FIELDS)})"
        )
        given_back = (
            "attempt = attempt - 1, started_at = NULL, lease_until = NULL, pid = NULL, host = NULL, worker = NULL"
        )
        self.release = (
            f"UPDATE {names.jobs} SET state = CASE state WHEN 'running' THEN 'ready' ELSE state END,"
            f" {given_back} WHERE {fenced}"
        )
        self.still_held = f"SELECT id FROM {names.jobs} WHERE {fenced}"
        # The token alone proves nothing: a rescuer settles a job with the same one.
        self.already_settled = (
            f"SELECT id FROM {names.jobs} WHERE id = ? AND token = ? AND lease_until IS NULL"
            " AND state = ? AND started_at = ?"
        )
