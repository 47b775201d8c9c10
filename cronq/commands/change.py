"""`cronq retry` and `cronq cancel`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from cronq.commands import bulk
from cronq.commands import options as given
from cronq.model.job import CANCELLABLE, FUTURE, RETRYABLE, UNFINISHED, State
from cronq.model.selection import Selection

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cronq.commands import Invocation
    from cronq.store import Store

_USUALLY_RETRIED = frozenset({State.FAILED, State.RETRYING})
_RETRY = bulk.Verb("retry", "retried", "--state or --now")
_COPY = bulk.Verb("copy", "copied")
_CANCEL = bulk.Verb("cancel", "cancelled", "--state or --kill")
_NAMED = 5
"""Maximum number of jobs with twins that a message names."""

_EXIT_STATUS = """\
Exit status: 0 done, 1 a job isn't there or can't be changed, or declined at the prompt, 64 neither
IDs nor a selection, 65 bad input, 69 database out of reach, 78 configuration.
"""

_RETRY_EXAMPLE = f"""\
Example:

\b
  cronq retry 42 43
  cronq retry --now --queue mail
  cronq retry --copy 42
  cronq retry --task mail.send --dry-run
  cronq retry --error 1a7e70ac --yes
  cronq retry --queue mail --state failed,cancelled
  cronq retry --batch 7

{_EXIT_STATUS}"""

_CANCEL_EXAMPLE = f"""\
Example:

\b
  cronq cancel 42
  cronq cancel --kill 42
  cronq cancel --queue mail --state scheduled --older-than 7d --dry-run
  cronq cancel --batch 7

{_EXIT_STATUS}"""


Now = Annotated[bool, typer.Option("--now", help="Only scheduled, retrying and waiting jobs: make them due at once.")]
Copy = Annotated[bool, typer.Option("--copy", help="Enqueue new jobs like them instead; prints the new ids.")]
Kill = Annotated[bool, typer.Option("--kill", help="Running ones too: they get SIGTERM, and SIGKILL after the grace.")]


@given.spread
def _retry(
    context: typer.Context,
    ids: given.JobIds = None,
    *,
    which: given.Which,
    now: Now = False,
    copy: Copy = False,
    how: bulk.How,
) -> int:
    """Run ended jobs again, make those that aren't due yet due now.

    Ended jobs get a new number of attempts; scheduled, retrying and waiting ones become due and keep
    theirs. Prints their ids. By IDs: any of these. By a selection: failed and retrying ones, unless --state or --now
    says others.
    """
    chosen = which.selection()
    bulk.either(context, ids, chosen)
    if now and copy:
        raise given.refuse("either --now or --copy", context)
    call = given.invocation(context)
    if copy:
        return _copy(call, ids or (), chosen, how)
    allowed = FUTURE if now else RETRYABLE
    with call.store() as store:
        if ids:
            return _retry_named(call, store, ids, allowed, how)
        meant = _in(chosen, usual=FUTURE if now else _USUALLY_RETRIED, allowed=allowed)
        if how.dry_run:
            bulk.rehearse(call, store, _RETRY, meant, how)
            return 0
        found = store.jobs.ids(meant) if meant.states else []
        if not found:
            bulk.tell(_RETRY, [], how)
            return bulk.left_alone(call, store, _RETRY, chosen, meant)
        return _retry_selected(call, store, found, how)


def _copy(call: Invocation, ids: Sequence[str], chosen: Selection, how: bulk.How) -> int:
    """Enqueue copies of the named jobs, in any state, or of the selected ones, by default the failed."""
    with call.store() as store:
        meant = chosen._replace(states=chosen.states or frozenset({State.FAILED}))
        found = given.job_ids(store, ids) if ids else store.jobs.ids(meant)
        if how.dry_run:
            bulk.tell(_COPY, found, how)
            return 0
        if not found:
            bulk.tell(_COPY, [], how)
            return bulk.left_alone(call, store, _COPY, chosen, meant)
        if not bulk.agreed(_COPY, len(found), how):
            return 1
        copied, refused = list[int](), list[bulk.NotChanged]()
        bulk.in_batches(call, found, _COPY, lambda batch: _copy_batch(store, batch, copied, refused))
    return bulk.tell_changed(_COPY, copied, refused, how)


def _copy_batch(store: Store, ids: Sequence[int], copied: list[int], refused: list[bulk.NotChanged]) -> int:
    before = len(copied)
    limits = store.definitions.of(ids)
    jobs = {job_id: new._replace(limit=limits.get(job_id)) for job_id, new in store.jobs.as_new(ids).items()}
    for job_id, new in zip(jobs, store.enqueue(list(jobs.values())) if jobs else (), strict=True):
        if new.existing:
            refused.append(
                bulk.NotChanged(job_id, f"job {job_id} was not copied: job {new.id} has the same unique key")
            )
        else:
            copied.append(new.id)
    refused += [bulk.NotChanged(job_id, f"there is no job {job_id}") for job_id in ids if job_id not in jobs]
    return len(copied) - before


def _retry_named(call: Invocation, store: Store, ids: Iterable[str], allowed: frozenset[State], how: bulk.How) -> int:
    named = given.job_ids(store, ids)
    states = _states(store, named)
    changed = sorted(job for job, state in states.items() if state in allowed)
    if not how.dry_run:
        changed = store.admin.retry(changed)
        bulk.note(call, len(changed))
    return _report(_RETRY, _Left(named, states, allowed), changed, how)


def _retry_selected(call: Invocation, store: Store, ids: Sequence[int], how: bulk.How) -> int:
    if not bulk.agreed(_RETRY, len(ids), how):
        return 1
    retried: list[int] = []
    twins: dict[int, int] = {}

    def retry(batch: Sequence[int]) -> int:
        changed, refused = store.admin.retry_all_but_twins(batch)
        retried.extend(changed)
        twins.update(refused)
        return len(changed)

    bulk.in_batches(call, ids, _RETRY, retry)
    refused = [
        bulk.NotChanged(job, f"job {twin} with the same unique key is unfinished") for job, twin in twins.items()
    ]
    bulk.tell(_RETRY, retried, how, refused)
    if twins:
        _tell_of_twins(twins)
    return 1 if refused else 0


def _tell_of_twins(twins: Mapping[int, int]) -> None:
    from cronq.render.text import complain

    told = ", ".join(f"{job} (job {twin})" for job, twin in list(twins.items())[:_NAMED])
    more = f" and {len(twins) - _NAMED} more" if len(twins) > _NAMED else ""
    number = "1 job was" if len(twins) == 1 else f"{len(twins)} jobs were"
    complain(f"{number} not retried, because an unfinished one has the same unique key: {told}{more}")


@given.spread
def _cancel(
    context: typer.Context,
    ids: given.JobIds = None,
    *,
    which: given.Which,
    kill: Kill = False,
    how: bulk.How,
) -> int:
    """Cancel jobs; prints their ids.

    By IDs: any that haven't ended, and failed ones. By a selection: those that haven't ended,
    unless --state says others. Running ones are left alone without --kill. By --batch alone, the batch is cancelled,
    too: it takes no more jobs.
    """
    chosen = which.selection()
    bulk.either(context, ids, chosen)
    call = given.invocation(context)
    allowed = CANCELLABLE | ({State.RUNNING} if kill else set())
    with call.store() as store:
        if ids:
            return _cancel_named(call, store, ids, allowed, how)
        meant = _in(chosen, usual=UNFINISHED, allowed=allowed)
        if how.dry_run:
            bulk.rehearse(call, store, _CANCEL, meant, how)
            return 0
        found = store.jobs.ids(meant) if meant.states else []
        if not found:
            bulk.tell(_CANCEL, [], how)
            if not _cancel_batches(store, chosen):
                return bulk.left_alone(call, store, _CANCEL, chosen, meant)
            bulk.note(call)
            return 0
        status = _cancel_selected(call, store, found, how, kill=State.RUNNING in meant.states)
        if not status:
            _cancel_batches(store, chosen)
        return status


def _cancel_batches(store: Store, chosen: Selection) -> bool:
    """Cancel the batches themselves if only batches are selected: they take no more jobs. Tell whether any was."""
    whole = chosen.batches if chosen == Selection(batches=chosen.batches) else ()
    return sum(store.batches.cancel(batch_id) for batch_id in whole) > 0


def _cancel_named(call: Invocation, store: Store, ids: Iterable[str], allowed: frozenset[State], how: bulk.How) -> int:
    named = given.job_ids(store, ids)
    states = _states(store, named)
    changed = sorted(job for job, state in states.items() if state in allowed)
    if not how.dry_run:
        changed = _stop(store, changed, kill=State.RUNNING in allowed)
        bulk.note(call, len(changed))
    return _report(_CANCEL, _Left(named, states, allowed), changed, how)


def _cancel_selected(call: Invocation, store: Store, ids: Sequence[int], how: bulk.How, *, kill: bool) -> int:
    if not bulk.agreed(_CANCEL, len(ids), how):
        return 1
    cancelled: list[int] = []

    def cancel(batch: Sequence[int]) -> int:
        changed = _stop(store, batch, kill=kill)
        cancelled.extend(changed)
        return len(changed)

    bulk.in_batches(call, ids, _CANCEL, cancel)
    bulk.tell(_CANCEL, cancelled, how)
    return 0


def _stop(store: Store, ids: Sequence[int], *, kill: bool) -> list[int]:
    """Cancel jobs; with `kill`, request that runners kill the running ones. Return the ids of both."""
    cancelled = store.admin.cancel(ids, reason="by hand")
    if not kill:
        return cancelled
    running = sorted(set(ids) - set(cancelled))
    return sorted(cancelled + store.admin.request_kill(running))


def _in(chosen: Selection, *, usual: Iterable[State], allowed: Iterable[State]) -> Selection:
    """Limit the selection, by default of the usual states, to the states in which the change is allowed."""
    return chosen._replace(states=(chosen.states or frozenset(usual)) & frozenset(allowed))


def _states(store: Store, ids: Iterable[int]) -> dict[int, str]:
    """Read the state of each of these jobs that exists, by id."""
    return {job.id: job.state for job in store.jobs.find(Selection(ids=tuple(ids)))}


class _Left(NamedTuple):
    """The named jobs, the states of those that exist, and the states in which the change is allowed."""

    named: Sequence[int]
    states: Mapping[int, str]
    allowed: Iterable[State]


def _report(verb: bulk.Verb, left: _Left, changed: Sequence[int], how: bulk.How) -> int:
    """Print the changed ids to stdout, and why others weren't changed to stderr; returns the exit status."""
    refused = [
        bulk.NotChanged(job_id, _refusal(job_id, left.states.get(job_id), verb=verb.done, allowed=left.allowed))
        for job_id in left.named
        if job_id not in set(changed)
    ]
    return bulk.tell_changed(verb, changed, refused, how)


def _refusal(job_id: int, state: str | None, *, verb: str, allowed: Iterable[State]) -> str:
    if state is None:
        return f"there is no job {job_id}"
    if state in frozenset[str](allowed):
        return f"job {job_id} changed its state a moment ago and was not {verb}"
    hint = " without --kill" if state == State.RUNNING and verb == "cancelled" else ""
    return f"job {job_id} is {state} and can't be {verb}{hint}"


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the program."""
    app.command("retry", epilog=_RETRY_EXAMPLE)(_retry)
    app.command("cancel", epilog=_CANCEL_EXAMPLE)(_cancel)
