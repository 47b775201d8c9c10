"""Change many jobs: ask before it, change them in batches with a progress bar, write a line to the audit log."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from cronq.commands import options as given
from cronq.model.job import UNFINISHED
from cronq.model.selection import Filter, Selection, has_patterns
from cronq.storage.tables import BATCH

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cronq.commands import Invocation
    from cronq.store import Store

ASK_ABOVE = 100
"""Maximum number of jobs that are changed without a question."""

LISTED = 20
"""Maximum number of ids that are printed on a terminal; for more jobs, only their number."""

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask for confirmation.")]


@dataclass(frozen=True, kw_only=True)
class How:
    """The options of a command that changes jobs."""

    dry_run: given.DryRun = False
    yes: Yes = False
    as_json: given.AsJson = False


class NotChanged(NamedTuple):
    """A job that was not changed, and the reason."""

    id: int
    reason: str


class Verb(NamedTuple):
    """The words that name a change of jobs in questions and messages, such as `retry` and `retried`."""

    name: str
    done: str
    wider: str = "--state"
    """The options that extend the change to jobs in other states, as messages name them."""


def agreed(verb: Verb, number: int, how: How) -> bool:
    """Tell whether to go on: ask on a terminal about more than ASK_ABOVE jobs, unless --yes is given; else True."""
    from cronq.render.text import complain

    if how.yes or number <= ASK_ABOVE or not is_interactive():
        return True
    if asks(f"{verb.name} {number:,} jobs"):
        return True
    complain("nothing was changed")
    return False


def asks(question: str) -> bool:
    """Write the question to stderr, and tell whether the answer on stdin is yes."""
    from cronq.model.printable import one_line

    sys.stderr.write(f"cronq: {one_line(question)}? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def is_interactive() -> bool:
    """Tell whether stdin and stderr are a terminal."""
    return _is_terminal(sys.stdin) and _is_terminal(sys.stderr)


def _is_terminal(stream: object) -> bool:
    return stream is not None and stream.isatty()  # type: ignore[attr-defined]


def in_batches(call: Invocation, ids: Sequence[int], verb: Verb, change: Callable[[Sequence[int]], int]) -> None:
    """Change the jobs in batches of a thousand, between which workers can claim, and write to the audit log.

    `change` returns how many jobs of a batch it changed.
    """
    from cronq.render.progress import bar

    changed = 0
    try:
        with bar(verb.done, len(ids), quiet=call.quiet) as advance:
            for start in range(0, len(ids), BATCH):
                batch = ids[start : start + BATCH]
                changed += change(batch)
                advance(len(batch))
    finally:
        note(call, changed)


def note(call: Invocation, number: int | None = None) -> None:
    """Write to the audit log who gave this command, and how many jobs it changed."""
    from cronq.system import audit

    audit.record(call.typed, number)


def tell(verb: Verb, changed: Sequence[int], how: How, refused: Sequence[NotChanged] = ()) -> None:
    """Print the ids; for more than LISTED jobs on a terminal, only their number."""
    from cronq.render.text import on_terminal, write

    if how.as_json:
        write([changes(len(changed), changed, refused, dry_run=how.dry_run)])
    elif len(changed) > LISTED and on_terminal():
        write([f"{len(changed):,} jobs {verb.done}"])
    else:
        write(map(str, changed))


def tell_changed(verb: Verb, changed: Sequence[int], refused: Sequence[NotChanged], how: How) -> int:
    """Print the changed ids to stdout, and why others weren't changed to stderr; returns the exit status."""
    from cronq.render.text import complain

    tell(verb, changed, how, refused)
    for one in refused:
        complain(one.reason)
    return 1 if refused else 0


def changes(number: int, ids: Sequence[int] | None, refused: Sequence[NotChanged] = (), *, dry_run: bool) -> str:
    """Return the JSON document about a change; `ids` is None if only the number of jobs is known."""
    from cronq.render.text import document

    left = [{"id": one.id, "reason": one.reason} for one in refused]
    return document({"number": number, "jobs": ids, "refused": left, "dry_run": dry_run})


def rehearse(call: Invocation, store: Store, verb: Verb, meant: Selection, how: How) -> None:
    """Print what would be changed: the ids, or on a terminal the jobs by queue, state and task."""
    from cronq.render.text import on_terminal, write

    if how.as_json:
        tell(verb, store.jobs.ids(meant) if meant.states else [], how)
        return
    if not on_terminal():
        write(map(str, store.jobs.ids(meant) if meant.states else ()))
        return
    from cronq.render.breakdown import table
    from cronq.render.console import Screen

    rows = store.jobs.breakdown(meant) if meant.states else []
    screen = Screen()
    if rows:
        screen.print(table(rows, screen))
    else:
        hint(call, store, meant)
    number = sum(row[-1] for row in rows)
    write([f"{number:,} {'job' if number == 1 else 'jobs'} would be {verb.done}"])


def left_alone(call: Invocation, store: Store, verb: Verb, chosen: Selection, meant: Selection) -> int:
    """Write that no selected job can be changed, and the states of those that match; return the exit status.

    It is 1 if unfinished jobs, or jobs in the selected states, match, else 0.
    """
    from cronq.render.text import complain

    others: Counter[str] = Counter()
    left = (chosen.states or UNFINISHED) - meant.states
    if left:
        for _, state, _, number in store.jobs.breakdown(chosen._replace(states=left)):
            others[state] += number
    wanted = " or ".join(sorted(meant.states)) or "such"
    told = " and ".join(f"{number:,} {state}" for state, number in sorted(others.items()))
    instead = f", but {told} {'does' if others.total() == 1 else 'do'} ({verb.wider})" if others else ""
    if not hint(call, store, chosen) and not call.quiet:
        complain(f"nothing was {verb.done}: no {wanted} job matches{instead}")
    return 1 if others else 0


def hint(call: Invocation, store: Store, meant: Selection) -> bool:
    """Write which selected queues and tasks have no jobs, each with a suggestion. Return whether any was written."""
    from cronq.render.text import complain

    if call.quiet:
        return False
    told = False
    for what, names, known in (("queue", meant.queues, store.jobs.queues), ("task", meant.tasks, store.jobs.tasks)):
        present = known() if names else []
        patterns = what == "queue" and has_patterns(names)
        for name in () if patterns and Filter(names).admitted(present) else names:
            if name not in present:
                complain(f"no job has the {what} {name!r}{given.suggestion(name, present)}")
                told = True
    return told


def either(context: typer.Context, ids: Sequence[str] | None, chosen: Selection) -> None:
    """Raise UsageError unless there are either ids or a selection."""
    if bool(ids) == (chosen != Selection()):
        verb = context.command_path
        problem = "either IDs or a selection, not both"
        if not ids:
            problem = f"which jobs? give IDs or a selection, like {verb} 42 43, or {verb} --queue mail"
        raise given.refuse(problem, context)
