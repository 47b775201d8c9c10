"""Define the statements that change the options of jobs which aren't running."""

from __future__ import annotations

from cronq.model.job import EDITABLE, State
from cronq.storage.sql.columns import CLAIMABLE_STATES, FUTURE_STATES, LIMITED, text_list

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from cronq.storage.sql.dialect import Names


class EditStatements:
    """The statements of `cronq edit`, served by the primary keys."""

    def __init__(self, names: Names) -> None:
        jobs, groups = names.jobs, names.groups
        self._jobs = jobs
        self._is_editable = (
            f"lease_until IS NULL AND state IN {text_list(state for state in State if state in EDITABLE)}"
        )
        self._holds_no_group = (
            f"NOT EXISTS (SELECT 1 FROM {groups} g WHERE g.name = job_group AND g.job_id = {jobs}.id)"
        )
        held = (
            f"EXISTS (SELECT 1 FROM {groups} g WHERE g.name = {jobs}.job_group AND g.job_id <> {jobs}.id"
            " AND g.job_id <> 0)"
        )
        # Under a limit a due job becomes `scheduled`: its promotion lets it wait for a place.
        due = (
            f"CASE WHEN (flow & {LIMITED}) <> 0 AND state <> 'ready' THEN 'scheduled'"
            f" WHEN job_group IS NOT NULL AND {held} THEN 'blocked' ELSE 'ready' END"
        )
        # The state after a change of the group, and after a change of the time, which also makes future jobs due.
        self.regrouped, self.rescheduled = (
            f"UPDATE {jobs} SET state = CASE WHEN available_at > ? THEN"
            f" CASE WHEN {CLAIMABLE_STATES} THEN 'scheduled' ELSE state END"
            f" WHEN {changing} THEN {due} ELSE state END WHERE id = ?"
            for changing in (CLAIMABLE_STATES, f"{CLAIMABLE_STATES} OR {FUTURE_STATES}")
        )

    def edit(self, columns: Iterable[str]) -> str:
        """Return the statement that sets these columns of a job, unless its group is set and it holds its group."""
        columns = list(columns)
        values = ", ".join(f"{column} = ?" for column in columns)
        free = f" AND {self._holds_no_group}" * ("job_group" in columns)
        return f"UPDATE {self._jobs} SET {values} WHERE id = ? AND {self._is_editable}{free}"
