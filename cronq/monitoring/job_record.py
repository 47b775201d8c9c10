"""Read all that is stored about one job, for `cronq show` and the page of the job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from cronq.model.dependencies import Ties
from cronq.times import iso

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cronq.model.job import Attempt, Job
    from cronq.storage.actions import Action
    from cronq.store import Store

_CHILDREN = 20
"""The most jobs read of those that come after one."""


class JobRecord(NamedTuple):
    """A job's row, its recorded attempts, the last output, what was done by hand, its dependencies."""

    job: Job
    attempts: Sequence[Attempt]
    output: tuple[str | None, str | None]
    actions: Sequence[Action]
    ties: Ties

    @classmethod
    def read(cls, store: Store, job: Job) -> JobRecord:
        """Read what is stored about a job beside its row."""
        flow, batch, limit = store.flow, store.batches.of_job(job.id), store.limit_reader.name_of(job.id)
        ties = Ties(flow.parents(job.id), flow.children(job.id, limit=_CHILDREN), batch, limit)
        return cls(job, store.jobs.attempts(job.id), store.jobs.output(job.id), store.actions.of_job(job.id), ties)

    def to_json(self) -> dict[str, Any]:
        """Return the document of `cronq show --json`."""
        stdout, stderr = self.output
        return {
            **self.job.to_json(),
            "attempts": [attempt.to_json() for attempt in self.attempts],
            "output": {"stdout": stdout, "stderr": stderr},
            "actions": [
                {"verb": action.verb, "at": iso(action.at), "by": action.who, "reason": action.reason}
                for action in self.actions
            ],
            **self.ties.to_json(),
        }
