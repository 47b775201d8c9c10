"""Define the statement that counts failures of one kind."""

from __future__ import annotations

from cronq.model.states import FUTURE, UNFINISHED
from cronq.storage.sql.columns import text_list

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cronq.storage.sql.dialect import Names

FAILURE_COLUMNS = (
    "task, CASE WHEN task = 'command' THEN substr(args, 1, 300) END AS subject, error_class,"
    " substr(error_message, 1, 300) AS message"
)
"""The columns from which a fingerprint is made."""

_FAILED = (
    f"(state NOT IN {text_list(state for state in UNFINISHED if state not in FUTURE)}"
    " OR outcome = 'error' OR outcome = 'timeout' OR outcome = 'crashed')"
)
"""The condition that the last attempt failed.

A job that is ready or running again still has the error of its last attempt, which may have been a snooze: there the
outcome decides.
"""


def failures(names: Names, where: str) -> str:
    """Return the statement that counts failures with the same task, command, error class and message.

    Served by the index `failed` and that on attempts' job_id. A failure's first instant is the end of the job's oldest
    recorded attempt, even if that failed for another reason: users more often want to know since when a job fails.
    """
    first = f"(SELECT min(a.finished_at) FROM {names.attempts} a WHERE a.job_id = {names.jobs}.id)"
    last = "coalesce(finished_at, started_at, available_at)"
    return (
        "SELECT task, subject, error_class, message, count(*), sum(failed), min(first), max(last), max(id)"
        f" FROM (SELECT {FAILURE_COLUMNS}, CASE WHEN state = 'failed' THEN 1 ELSE 0 END AS failed,"
        f" coalesce({first}, {last}) AS first, {last} AS last, id FROM {names.jobs}"
        f" WHERE {where} AND error_class IS NOT NULL AND {_FAILED}) AS failures"
        " GROUP BY task, subject, error_class, message"
    )
