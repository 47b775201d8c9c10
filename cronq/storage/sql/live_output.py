"""Define the statements that share the output of running jobs with followers."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cronq.storage.sql.dialect import Names


class LiveOutputStatements:
    """The statements on live output, served by the primary key; there is one row for each job that is followed."""

    def __init__(self, names: Names) -> None:
        self.want = f"UPDATE {names.live_output} SET wanted_until = ? WHERE job_id = ? AND wanted_until >= ?"
        self.first = f"INSERT INTO {names.live_output} (job_id, wanted_until) VALUES (?, ?)"
        self.forget = f"DELETE FROM {names.live_output} WHERE wanted_until < ?"
        self.show = (
            f"UPDATE {names.live_output} SET token = ?, stdout_size = ?, stderr_size = ?, stdout = ?, stderr = ?"
            " WHERE job_id = ?"
        )
        self.see = f"SELECT token, stdout_size, stderr_size, stdout, stderr FROM {names.live_output} WHERE job_id = ?"
