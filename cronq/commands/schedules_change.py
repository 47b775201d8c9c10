"""`cronq schedules pause`, `resume`, `run`, `replay`, `sync`, `reset` and `remove`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cronq.commands import bulk
from cronq.commands import options as given
from cronq.commands.schedules_show import Name, require
from cronq.errors import InvalidInput
from cronq.model.schedule import ENQUEUED
from cronq.times import iso

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cronq.model.schedule import Decided
    from cronq.schedules.by_hand import ByHand
    from cronq.store import Store


def _example(line: str, *statuses: str) -> str:
    told = ", ".join(["0 done", *statuses, "69 database out of reach,\n78 configuration."])
    return f"Example:\n\n\b\n  cronq schedules {line}\n\nExit status: {told}\n"


_UNKNOWN, _BAD = "1 no such schedule", "65 bad input"


From = Annotated[str, typer.Option("--from", metavar="TIME", help="The first due time.", show_default=False)]
To = Annotated[str, typer.Option("--to", metavar="TIME", help="The last due time.", show_default=False)]


def _in_hand(store: Store, name: str) -> ByHand:
    from cronq.schedules.by_hand import ByHand

    return ByHand(store, require(store, name).name)


def _pause(
    context: typer.Context,
    name: Name,
    *,
    until: Annotated[str | None, typer.Option("--until", metavar="TIME", help="Resume by itself at this time.")] = None,
    reason: Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="The reason, shown by `why`.")] = None,
    as_json: given.AsJson = False,
) -> None:
    """Skip the due times of a schedule until it is resumed; the ledger keeps them as skipped."""
    from cronq.system import audit

    call = given.invocation(context)
    with call.store() as store:
        schedule = _in_hand(store, name)
        end = None if until is None else schedule.instant(until, what="--until")
        if end is not None and end <= store.tell_time():
            raise InvalidInput(f"--until: {until!r}: expected a time that is still to come")
        schedule.pause(until=end, by=audit.who(), reason=reason)
        _print_schedule(store, name, as_json=as_json)
    bulk.note(call)


def _resume(
    context: typer.Context,
    name: Name,
    *,
    catch_up: Annotated[
        bool, typer.Option("--catch-up", help="Enqueue jobs for the skipped due times, as catch_up says.")
    ] = False,
    as_json: given.AsJson = False,
) -> None:
    """Resume a paused schedule; prints the ids of jobs that catch up."""
    call = given.invocation(context)
    with call.store() as store:
        _tell(_in_hand(store, name).resume(catch_up=catch_up), as_json=as_json)
    bulk.note(call)


def _run(
    context: typer.Context,
    name: Name,
    *,
    force: Annotated[bool, typer.Option("--force", help="Even if a job of the schedule is unfinished.")] = False,
    as_json: given.AsJson = False,
) -> int:
    """Enqueue the job of a schedule now, paused or not; prints its id."""
    from cronq.render.text import complain

    call = given.invocation(context)
    with call.store() as store:
        decided = _in_hand(store, name).run(force=force)
    if decided.outcome != ENQUEUED:
        complain(f"not enqueued: {decided.reason} (--force enqueues another one)")
        return 1
    bulk.note(call)
    _tell([decided], as_json=as_json)
    return 0


def _replay(
    context: typer.Context,
    name: Name,
    *,
    start: From,
    end: To,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print the due times.")] = False,
    as_json: given.AsJson = False,
) -> None:
    """Enqueue jobs for due times for which none was enqueued, oldest first; prints their ids.

    Due times whose jobs were enqueued are left out. Unless the schedule says overlap = "allow", the jobs
    run one at a time.
    """
    from cronq.render.text import document, write

    call = given.invocation(context)
    with call.store() as store:
        schedule = _in_hand(store, name)
        first, last = schedule.instant(start, what="--from"), schedule.instant(end, what="--to")
        if last < first:
            raise InvalidInput("--to: expected a time after --from")
        if dry_run:
            due = [iso(instant) for instant in schedule.due_between(first, last)]
            write([document(due)] if as_json else due)
            return
        _tell(schedule.replay(first, last), as_json=as_json)
    bulk.note(call)


def _tell(decisions: Iterable[Decided], *, as_json: bool) -> None:
    """Print the ids of the enqueued jobs, or with --json the decisions."""
    from cronq.monitoring.schedules import decision_json
    from cronq.render.text import document, write

    if as_json:
        write([document([decision_json(one) for one in decisions])])
    else:
        write(str(one.job_id) for one in decisions if one.job_id is not None)


def _print_schedule(store: Store, name: str, *, as_json: bool) -> None:
    """Print the schedule as it is now with --json, else nothing."""
    from cronq.render.text import document, write

    if as_json:
        write([document(require(store, name).to_json())])


def _sync(context: typer.Context, *, as_json: given.AsJson = False) -> None:
    """Declare the schedules of the config and the app at once, for deploy scripts; prints what changed.

    With declare = "sync" in the config only this declares, for all hosts: schedules that it doesn't name
    have no due times any more.
    """
    from cronq.render.text import document, write
    from cronq.schedules.declaring import Declaring
    from cronq.schedules.firing import Firing
    from cronq.storage.idle_check import note_declared

    call = given.invocation(context)
    with call.cronq(with_tasks=True) as queue:
        for_all = call.config.declare == "sync"
        source = call.config.app or "cronq.toml"
        declaring = Declaring(queue.store, Firing(queue.store), source=source, for_all=for_all)
        changed = declaring.declare(queue.definitions(), anew=True)
    write([document(changed)] if as_json else changed)
    note_declared(call.config)
    bulk.note(call)


def _reset(context: typer.Context, name: Name, *, as_json: given.AsJson = False) -> None:
    """Start a schedule from now: forget how far it was decided, after the clock was put back."""
    call = given.invocation(context)
    with call.store() as store:
        _in_hand(store, name).reset()
        _print_schedule(store, name, as_json=as_json)
    bulk.note(call)


def _remove(context: typer.Context, name: Name, *, as_json: given.AsJson = False) -> None:
    """Delete a schedule that no host declares any more, with its ledger; its jobs stay."""
    from cronq.render.text import document, write

    call = given.invocation(context)
    with call.store() as store:
        _in_hand(store, name).remove()
    if as_json:
        write([document({"removed": name})])
    bulk.note(call)


def register(app: typer.Typer) -> None:
    """Add the commands to those on schedules."""
    pause = "pause report.daily --until 'tomorrow 06:00' --reason 'moving the database'"
    replay = "replay report.daily --from 2026-11-20T00:00Z --to 2026-11-25T00:00Z --dry-run"
    unfinished = f"{_UNKNOWN} or its job is unfinished"
    app.command("pause", epilog=_example(pause, _UNKNOWN, _BAD))(_pause)
    app.command("resume", epilog=_example("resume report.daily --catch-up", _UNKNOWN, "65 it isn't paused"))(_resume)
    app.command("run", epilog=_example("run report.daily", unfinished))(_run)
    app.command("replay", epilog=_example(replay, _UNKNOWN, _BAD))(_replay)
    app.command("sync", epilog=_example("sync"))(_sync)
    app.command("reset", epilog=_example("reset report.daily", _UNKNOWN))(_reset)
    app.command("remove", epilog=_example("remove report.daily", _UNKNOWN, "65 a host declares it"))(_remove)
