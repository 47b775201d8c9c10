"""`cronq pause`, `cronq resume` and `cronq drain`: stop and start the jobs of queues."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from cronq.commands import bulk
from cronq.commands import options as given
from cronq.errors import InvalidInput, TryLater
from cronq.model.selection import Filter, has_patterns
from cronq.times import parse_duration

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cronq.store import Store

_PAUSE_EXAMPLE = """\
Example:

\b
  cronq pause mail
  cronq pause 'mail*' reports
  cronq pause --all

Exit status: 0 paused, 64 neither QUEUE nor --all, 65 bad input, 69 database out of reach,
78 configuration.
"""

_RESUME_EXAMPLE = """\
Example:

\b
  cronq resume mail
  cronq resume --all

Exit status: 0 not paused any more, 64 neither QUEUE nor --all, 65 bad input, 69 database out of reach,
78 configuration.
"""

_DRAIN_EXAMPLE = """\
Example:

\b
  cronq drain mail --timeout 10m && cronq resume mail
  cronq drain --all

Exit status: 0 nothing runs, 64 neither QUEUE nor --all, 65 bad input, 69 database out of reach,
75 jobs still run after --timeout, 78 configuration.
"""

_LOOK = 0.25
"""Seconds between two queries for running jobs."""

_QUIET_FOR = 1.0
"""Seconds without a running job until `drain` ends: a claim that began before the pause is visible by then."""

_NAMED = 5
"""Maximum number of running jobs that a message names."""

Queues = Annotated[
    list[str] | None,
    typer.Argument(metavar="QUEUE", help="Names of queues, or mail*; !name leaves one out.", show_default=False),
]
All = Annotated[bool, typer.Option("--all", help="All queues that have jobs.")]
AllPaused = Annotated[bool, typer.Option("--all", help="All paused queues.")]
Timeout = Annotated[
    str | None, typer.Option("--timeout", metavar="D", help="Stop waiting after this time (default: no limit).")
]


def _pause(context: typer.Context, queues: Queues = None, *, all_: All = False, as_json: given.AsJson = False) -> None:
    """Stop starting jobs of a queue until it is resumed.

    On all hosts. Running jobs continue. Prints the names of the queues if --all or a pattern chose them.
    """
    _require(context, queues, all_=all_)
    with given.invocation(context).store() as store:
        present = store.jobs.queues()
        chosen = _chosen(queues, present)
        _pause_all(context, store, chosen)
    _warn_of_new(context, chosen, present)
    _print(chosen, queues, paused=True, as_json=as_json)


def _warn_of_new(context: typer.Context, chosen: Iterable[str], present: Sequence[str]) -> None:
    """Warn of queues without jobs, which may be misspelt."""
    from cronq.render.text import complain

    for queue in chosen:
        if queue not in present and not given.invocation(context).quiet:
            complain(f"queue {queue} has no jobs, and is paused now{given.suggestion(queue, present)}")


def _resume(
    context: typer.Context, queues: Queues = None, *, all_: AllPaused = False, as_json: given.AsJson = False
) -> None:
    """Start jobs of a paused queue again.

    Prints the names of the queues if --all or a pattern chose them.
    """
    _require(context, queues, all_=all_)
    with given.invocation(context).store() as store:
        chosen = _chosen(queues, sorted(store.jobs.paused()))
        resumed = [queue for queue in chosen if store.admin.resume(queue)]
    if resumed:
        bulk.note(given.invocation(context))
    _print(chosen, queues, paused=False, as_json=as_json)


def _drain(
    context: typer.Context,
    queues: Queues = None,
    *,
    all_: All = False,
    timeout: Timeout = None,
    as_json: given.AsJson = False,
) -> None:
    """Pause queues and wait until none of their jobs runs.

    They stay paused, also after --timeout. Prints the names of the queues if --all or a
    pattern chose them.
    """
    _require(context, queues, all_=all_)
    seconds = float("inf") if timeout is None else parse_duration(timeout, what="--timeout")
    with given.invocation(context).store() as store:
        chosen = _chosen(queues, store.jobs.queues())
        _pause_all(context, store, chosen)
        _wait_until_nothing_runs(store, frozenset(chosen), time.monotonic() + seconds)
    _print(chosen, queues, paused=True, as_json=as_json)


def _require(context: typer.Context, queues: Sequence[str] | None, *, all_: bool) -> None:
    if bool(queues) == all_:
        problem = "either QUEUE or --all, not both" if queues else "which queues? give names, or --all"
        raise given.refuse(problem, context)


def _chosen(queues: Sequence[str] | None, present: Iterable[str]) -> list[str]:
    """Return the named queues, and the present ones that match a pattern; without names, all present ones.

    Raises InvalidInput for a wrong name, or patterns that match none.
    """
    if not queues:
        return sorted(present)
    if has_patterns(queues):
        named = [queue for queue in queues if not has_patterns([queue])]
        found = Filter(tuple(queues)).admitted({*map(_name, named), *present})
        if not found:
            raise InvalidInput(f"QUEUE: no queue matches {' '.join(map(repr, queues))}")
        return found
    return [_name(queue) for queue in dict.fromkeys(queues)]


def _pause_all(context: typer.Context, store: Store, queues: Iterable[str]) -> None:
    paused = [queue for queue in queues if store.admin.pause(queue)]
    if paused:
        bulk.note(given.invocation(context))


def _wait_until_nothing_runs(store: Store, queues: frozenset[str], deadline: float) -> None:
    """Wait until no job of the queues has run for _QUIET_FOR seconds. Raises TryLater at the deadline."""
    idle_since: float | None = None
    while True:
        running = [job_id for job_id, queue in store.jobs.leased() if queue in queues]
        now = time.monotonic()
        idle_since = None if running else idle_since or now
        if idle_since is not None and now - idle_since >= _QUIET_FOR:
            return
        if now >= deadline:
            raise TryLater(_still_running(running))
        time.sleep(min(_LOOK, max(0.0, deadline - now)))


def _still_running(jobs: Sequence[int]) -> str:
    named = ", ".join(map(str, jobs[:_NAMED]))
    more = f" and {len(jobs) - _NAMED} more" if len(jobs) > _NAMED else ""
    what = "1 job still runs" if len(jobs) == 1 else f"{len(jobs)} jobs still run" if jobs else "a job may still start"
    return f"the queues are paused, but {what}{': ' if jobs else ''}{named}{more}"


def _print(chosen: Sequence[str], asked: Sequence[str] | None, *, paused: bool, as_json: bool) -> None:
    from cronq.render.text import document, write

    if as_json:
        write([document({"queues": chosen, "paused": paused})])
    elif not asked or has_patterns(asked):
        write(chosen)


def _name(queue: str) -> str:
    from cronq.config.settings import TASK

    try:
        return str(TASK["queue"].check(queue))
    except ValueError:
        raise InvalidInput(f"QUEUE: {queue!r} is not {TASK['queue'].expected}") from None


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the program."""
    app.command("pause", epilog=_PAUSE_EXAMPLE)(_pause)
    app.command("resume", epilog=_RESUME_EXAMPLE)(_resume)
    app.command("drain", epilog=_DRAIN_EXAMPLE)(_drain)
