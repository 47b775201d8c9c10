"""`cronq release`: make pending jobs ready without what they wait for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer  # noqa: TC002 - it reads the annotations itself

from cronq.commands import bulk
from cronq.commands import options as given

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cronq.model.job import Job

_RELEASE = bulk.Verb("release", "released")

_EXAMPLE = """\
Example:

\b
  cronq why 43
  cronq release 43

Exit status: 0 done, 1 a job isn't there or waits for no other, 65 bad input,
69 database out of reach, 78 configuration.
"""


def _release(context: typer.Context, ids: given.SomeJobs, *, as_json: given.AsJson = False) -> int:
    """Let pending jobs run without the jobs that they come after.

    Also puts back jobs that were cancelled because of those. Prints the ids.
    """
    call = given.invocation(context)
    with call.store() as store:
        found, missing = given.jobs(store, ids)
        changed = store.flow.release(job.id for job in found)
        bulk.note(call, len(changed))
    refused = [bulk.NotChanged(job.id, _idle(job)) for job in _left(found, changed)]
    refused += [bulk.NotChanged(job_id, f"there is no job {job_id}") for job_id in missing]
    return bulk.tell_changed(_RELEASE, changed, refused, bulk.How(as_json=as_json))


def _idle(job: Job) -> str:
    return f"job {job.id} is {job.state} and waits for no other job"


def _left(found: Sequence[Job], changed: Sequence[int]) -> list[Job]:
    return [job for job in found if job.id not in set(changed)]


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("release", epilog=_EXAMPLE)(_release)
