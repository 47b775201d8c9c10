"""Steering by hand: retry, cancel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from cronq.commands import options as given
from cronq.job import ENDED, UNFINISHED, State
from cronq.selection import Selection

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cronq.config import Config
    from cronq.job import Job
    from cronq.store import Store

_RETRYABLE = ENDED
_CANCELLABLE = (UNFINISHED - {State.RUNNING}) | {State.FAILED}

_EXIT_STATUS = """\
Exit status: 0 done, 1 one of the IDs isn't there or can't be changed, 64 neither IDs nor a
selection, 65 bad input, 69 database out of reach, 78 configuration.
"""

_RETRY_EXAMPLE = f"""\
Example:

\b
  cronq retry 42 43
  cronq retry --task mail.send --dry-run
  cronq retry --queue mail --state failed,cancelled

{_EXIT_STATUS}"""

_CANCEL_EXAMPLE = f"""\
Example:

\b
  cronq cancel 42
  cronq cancel --kill 42
  cronq cancel --queue mail --state scheduled --dry-run

{_EXIT_STATUS}"""


Kill = Annotated[bool, typer.Option("--kill", help="Running ones too: their runner is asked to end them.")]


class _Meant(NamedTuple):
    """The jobs a person means: named one by one, or selected."""

    named: tuple[int, ...]
    jobs: Sequence[Job]

    def in_states(self, states: Iterable[State]) -> list[int]:
        """The ids of those in these states, oldest first."""
        allowed = set(states)
        return sorted(job.id for job in self.jobs if job.state in allowed)


@given.spread
def _retry(
    context: typer.Context, ids: given.JobIds = None, *, which: given.Which, dry_run: given.DryRun = False
) -> int:
    """Put ended jobs back to ready, with a fresh budget of attempts; prints their ids.

    By IDs: any that have ended. By a selection: failed ones, unless --state says others.
    """
    call = given.invocation(context)
    with call.store() as store:
        meant = _meant(context, store, ids, which.selection(), usual={State.FAILED})
        changed = meant.in_states(_RETRYABLE)
        if not dry_run:
            changed = store.retry(changed)
            _ring(call.config, [(job.queue, job.id) for job in meant.jobs if job.id in set(changed)])
    return _report(meant, changed, verb="retried", allowed=_RETRYABLE)


def _ring(config: Config, jobs: Sequence[tuple[str, int]]) -> None:
    from cronq.bell import Bell
    from cronq.transports.local import Neighbours

    Neighbours(config).ring()
    Bell(config).ring(jobs)


@given.spread
def _cancel(
    context: typer.Context,
    ids: given.JobIds = None,
    *,
    which: given.Which,
    kill: Kill = False,
    dry_run: given.DryRun = False,
) -> int:
    """Cancel jobs; prints their ids.

    By IDs: any that haven't ended, and failed ones. By a selection: those that haven't ended,
    unless --state says others. Running ones are left alone without --kill.
    """
    with given.invocation(context).store() as store:
        meant = _meant(context, store, ids, which.selection(), usual=UNFINISHED)
        changed = meant.in_states(_CANCELLABLE)
        running = meant.in_states({State.RUNNING}) if kill else []
        if not dry_run:
            changed, running = _stop(store, changed, running, kill=kill)
    allowed = _CANCELLABLE | ({State.RUNNING} if kill else set())
    return _report(meant, sorted(changed + running), verb="cancelled", allowed=allowed)


def _stop(store: Store, waiting: list[int], running: list[int], *, kill: bool) -> tuple[list[int], list[int]]:
    """What could be cancelled at once, and what its runner has been asked to kill."""
    cancelled = store.cancel(waiting, reason="by hand")
    if not kill:
        return cancelled, []
    just_started = [job_id for job_id in waiting if job_id not in set(cancelled)]
    return cancelled, store.request_kill(running + just_started)


def _meant(
    context: typer.Context, store: Store, ids: list[str] | None, chosen: Selection, *, usual: Iterable[State]
) -> _Meant:
    if bool(ids) == any(chosen):
        problem = "either IDs or a selection, not both" if ids else "which jobs? give IDs, or a selection"
        raise given.refuse(problem, context)
    if not ids:
        return _Meant((), store.find(chosen if chosen.states else chosen._replace(states=frozenset(usual))))
    named = tuple(dict.fromkeys(map(given.job_id, ids)))
    return _Meant(named, store.find(Selection(ids=named)))


def _report(meant: _Meant, changed: Sequence[int], *, verb: str, allowed: Iterable[State]) -> int:
    """The ids changed on stdout, why others weren't on stderr; the exit status."""
    from cronq import render

    render.write(map(str, changed))
    states = {job.id: State(job.state) for job in meant.jobs}
    refused = [job_id for job_id in meant.named if job_id not in set(changed)]
    for job_id in refused:
        render.complain(_refusal(job_id, states.get(job_id), verb=verb, allowed=allowed))
    return 1 if refused else 0


def _refusal(job_id: int, state: State | None, *, verb: str, allowed: Iterable[State]) -> str:
    if state is None:
        return f"there is no job {job_id}"
    if state in allowed:
        return f"job {job_id} changed its state a moment ago and was not {verb}"
    hint = " without --kill" if state is State.RUNNING and verb == "cancelled" else ""
    return f"job {job_id} is {state} and can't be {verb}{hint}"


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the program."""
    app.command("retry", epilog=_RETRY_EXAMPLE)(_retry)
    app.command("cancel", epilog=_CANCEL_EXAMPLE)(_cancel)
