"""`cronq edit`: change jobs that aren't running."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cronq.commands import bulk
from cronq.commands import options as given
from cronq.commands.enqueue import Placement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cronq.commands import Invocation
    from cronq.model.job import Job
    from cronq.model.limits import Limit
    from cronq.store import Store

_EXAMPLE = """\
Example:

\b
  cronq edit 42 --priority 5
  cronq edit 42 43 --queue slow --at 'tomorrow 02:30'
  cronq edit last --no-group
  cronq edit 42 43 --limit smtp

Exit status: 0 done, 1 a job isn't there or can't be changed, 64 nothing to change, 65 bad input,
69 database out of reach, 78 configuration.
"""

_FIELDS = {
    "queue": "queue",
    "priority": "priority",
    "at": "available_at",
    "group": "group",
    "max_attempts": "max_attempts",
    "time_limit": "time_limit",
}
"""By option, the field of a job that it changes."""


@dataclass(frozen=True, kw_only=True)
class _Changes:
    """The options that change fields of a job or its limit."""

    queue: Annotated[str | None, typer.Option("--queue", metavar="QUEUE", help="Queue name.")] = None
    priority: Annotated[str | None, typer.Option("--priority", metavar="N", help="0 to 999, lower runs first.")] = None
    at: Annotated[
        str | None, typer.Option("--at", metavar="TIME", help="Not before: +15m, 02:30, tomorrow 02:30; +0 is now.")
    ] = None
    group: Annotated[
        str | None, typer.Option("--group", metavar="GROUP", help="One job of a group runs at a time.")
    ] = None
    no_group: Annotated[bool, typer.Option("--no-group", help="Take it out of its group.")] = False
    limit: Annotated[
        str | None, typer.Option("--limit", metavar="NAME", help="Put it under this limit of the configuration.")
    ] = None
    no_limit: Annotated[bool, typer.Option("--no-limit", help="Take it off its limit.")] = False
    max_attempts: Annotated[
        str | None, typer.Option("--max-attempts", metavar="N", help="Maximum number of attempts.")
    ] = None
    time_limit: Annotated[str | None, typer.Option("--time-limit", metavar="D", help="Time limit of one attempt.")] = (
        None
    )

    @property
    def changes_limit(self) -> bool:
        """Whether the limit is changed, too."""
        return self.limit is not None or self.no_limit

    def fields(self, *, now: int) -> dict[str, Any]:
        """Return the new values by field of a job. Raises InvalidInput."""
        from cronq.client.job_options import customise
        from cronq.model.job import NewJob

        asked = {name: value for name, value in asdict(self).items() if name in _FIELDS and value is not None}
        options = Placement(**asked).given()
        changed = customise(NewJob("edited"), options, now=now)
        fields = {_FIELDS[name]: getattr(changed, _FIELDS[name]) for name in options}
        return {**fields, "group": None} if self.no_group else fields


@given.spread
def _edit(context: typer.Context, ids: given.SomeJobs, *, changes: _Changes, as_json: given.AsJson = False) -> int:
    """Change jobs that aren't running; prints their ids.

    A job that holds its group (its last attempt failed, or it waits) stays in that group. One that is put under a limit
    waits for a place; the places that are given up go to the next jobs at once.
    """
    if changes.group is not None and changes.no_group:
        raise given.refuse("either --group or --no-group", context)
    if changes.limit is not None and changes.no_limit:
        raise given.refuse("either --limit or --no-limit", context)
    call = given.invocation(context)
    with call.store() as store:
        fields = changes.fields(now=store.tell_time())
        if not fields and not changes.changes_limit:
            raise given.refuse("what is to be changed? give --priority or another option", context)
        named = given.job_ids(store, ids)
        limits = _limits(call, store, named, changes.limit)
        changed = store.editor.edit(named, fields) if fields else named
        if changes.changes_limit:
            changed = [
                job_id for limit, ids in limits.items() for job_id in store.relimiter.change(_both(ids, changed), limit)
            ]
        bulk.note(call, len(changed))
        refused = _refusals(store, [job_id for job_id in named if job_id not in changed])
    return bulk.tell_changed(bulk.Verb("edit", "edited"), changed, refused, bulk.How(as_json=as_json))


def _limits(call: Invocation, store: Store, ids: Sequence[int], name: str | None) -> dict[Limit | None, list[int]]:
    """Group the jobs by the limit that they get: `name` may contain placeholders for arguments of a job.

    Without a name all of them get none. Raises InvalidInput or ConfigError before any change.
    """
    from cronq.flow.configured import resolve
    from cronq.model.selection import Selection

    if name is None:
        return {None: list(ids)}
    found = store.jobs.find(Selection(ids=tuple(ids)))
    chosen: dict[Limit | None, list[int]] = {}
    for job in found:
        chosen.setdefault(resolve(name, job.args or {}, call.config), []).append(job.id)
    return chosen


def _both(ids: Sequence[int], others: Sequence[int]) -> list[int]:
    return sorted(set(ids).intersection(others))


def _refusals(store: Store, ids: Sequence[int]) -> list[bulk.NotChanged]:
    return [bulk.NotChanged(job_id, _why(job_id, store.jobs.get(job_id))) for job_id in ids]


def _why(job_id: int, job: Job | None) -> str:
    from cronq.model.job import EDITABLE

    if job is None:
        return f"there is no job {job_id}"
    if job.state in EDITABLE and job.group is not None:
        return f"job {job_id} holds the group {job.group!r} and stays in it"
    return f"job {job_id} is {job.state} and can't be edited"


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("edit", epilog=_EXAMPLE)(_edit)
