"""`cronq wait`: wait for the end of jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cronq.commands import bulk
from cronq.commands import options as given
from cronq.errors import JobNotFound, TryLater
from cronq.model.job import UNFINISHED, State
from cronq.model.selection import Selection
from cronq.times import parse_duration, to_datetime

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cronq.app import Cronq
    from cronq.commands import Invocation
    from cronq.model.job import Job
    from cronq.render.status_line import StatusLine

_WAIT_EXAMPLE = """\
Example:

\b
  cronq wait 42 --timeout 30s
  cronq wait 42 43 44
  cronq wait --queue mail --timeout 10m
  cronq wait batch:7
  total=$(cronq wait "$(cronq enqueue add a=1 b=2)")

Exit status: 0 all finished, 1 one failed or was cancelled or doesn't exist, 64 neither IDs nor a
selection, 65 bad input, 69 database out of reach, 75 not ended within --timeout, 78 configuration.
"""

Timeout = Annotated[
    str | None,
    typer.Option("--timeout", metavar="D", help="Stop waiting after this time (default: no limit)."),
]

_AT_ONCE = 1000
"""Maximum number of jobs that one query reads."""

_NAMED = 5
"""Maximum number of unfinished jobs that a message names."""


@given.spread
def _wait(
    context: typer.Context,
    ids: given.JobIds = None,
    *,
    which: given.Which,
    timeout: Timeout = None,
    as_json: given.AsJson = False,
) -> int:
    """Wait until jobs have ended; prints the result as JSON.

    On a terminal it shows the progress of a single job, if the job reports it.

    Of several jobs or a selection: a line for each as it ends, with its id, its state and its result
    or error. A selection means the unfinished jobs that it finds at the start.
    """
    chosen = which.selection()
    bulk.either(context, ids, chosen)
    batches = [text for text in ids or () if text.startswith("batch:")]
    if batches and len(ids or ()) > 1:
        raise given.refuse("either one batch:ID, or the IDs of jobs", context)
    seconds = None if timeout is None else parse_duration(timeout, what="--timeout")
    call = given.invocation(context)
    with call.cronq(with_tasks=False, reading=True) as queue:
        if batches:
            return _batch(queue, given.job_id(batches[0].removeprefix("batch:")), seconds)
        named = given.job_ids(queue.store, ids or ())
        if len(named) == 1 and not as_json:
            return _one(queue, named[0], seconds, quiet=call.quiet)
        meant = named or queue.store.jobs.ids(chosen._replace(states=chosen.states or frozenset(UNFINISHED)))
        return _several(call, queue, meant, seconds, as_json=as_json)


def _batch(queue: Cronq, batch_id: int, seconds: float | None) -> int:
    from cronq.client.waiting import counts
    from cronq.render.text import compact, write

    write([compact(counts(queue.store, batch_id, seconds))])
    return 0


def _one(queue: Cronq, job_id: int, seconds: float | None, *, quiet: bool) -> int:
    from cronq.render.status_line import StatusLine
    from cronq.render.text import compact, write

    with StatusLine(quiet=quiet) as line:
        if line.watched:
            _follow(queue, job_id, seconds, line)
    write([compact(queue.wait(job_id, timeout=0 if line.watched else seconds))])
    return 0


def _follow(queue: Cronq, job_id: int, seconds: float | None, line: StatusLine) -> None:
    """Show the progress of the job on the terminal until it has ended, or the time is over."""
    from cronq.client.waiting import looks

    for _ in looks(seconds):
        job = queue.get(job_id)
        if job is None or job.state not in UNFINISHED:
            return
        now = to_datetime(queue.clock.now())
        line.show(f"job {job.id}: {job.progress.text(now)}" if job.progress else "")


def _several(call: Invocation, queue: Cronq, ids: Sequence[int], seconds: float | None, *, as_json: bool) -> int:
    from cronq.client.waiting import looks
    from cronq.render.text import complain, document, write

    left = _present(queue, ids)
    ended: list[Job] = []
    if not ids and not call.quiet:
        complain("nothing to wait for: no unfinished job matches")
    for _ in looks(seconds):
        over = _over(queue, left[:_AT_ONCE])
        left = [job_id for job_id in left if job_id not in over]
        found = _in_order(queue, over)
        ended += found
        if not as_json:
            write(map(_line, found))
        if not left:
            break
    if as_json:
        write([document([_summary(job) for job in ended])])
    if left:
        raise TryLater(_unended(left))
    return 0 if [job.state for job in ended].count(State.FINISHED) == len(ids) else 1


def _present(queue: Cronq, ids: Sequence[int]) -> list[int]:
    """Return the ids. Raises JobNotFound for one that no job has."""
    present = set(queue.store.jobs.ids(Selection(ids=tuple(ids)))) if ids else set()
    for job_id in ids:
        if job_id not in present:
            raise JobNotFound(f"there is no job {job_id}")
    return list(ids)


def _over(queue: Cronq, ids: Sequence[int]) -> frozenset[int]:
    """Return the jobs that have ended or were removed since."""
    unfinished = Selection(ids=tuple(ids), states=frozenset(UNFINISHED))
    return frozenset(ids).difference(queue.store.jobs.ids(unfinished) if ids else ())


def _in_order(queue: Cronq, ids: Iterable[int]) -> list[Job]:
    """Return the jobs in the order of their ends, without those that were removed."""
    asked = tuple(ids)
    found = queue.store.jobs.find(Selection(ids=asked)) if asked else []
    return sorted(found, key=lambda job: (job.finished_at or job.created_at, job.id))


def _line(job: Job) -> str:
    from cronq.render.text import compact, last_line
    from cronq.render.tsv import tabbed

    return tabbed(str(job.id), str(job.state), compact(job.result) if job.error is None else last_line(job.error))


def _summary(job: Job) -> dict[str, Any]:
    shown = job.to_json()
    return {name: shown[name] for name in ("id", "state", "result", "error")}


def _unended(ids: Sequence[int]) -> str:
    named = ", ".join(map(str, ids[:_NAMED]))
    more = f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else ""
    return f"{'1 job has' if len(ids) == 1 else f'{len(ids)} jobs have'} not ended yet: {named}{more}"


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the program."""
    app.command("wait", epilog=_WAIT_EXAMPLE)(_wait)
