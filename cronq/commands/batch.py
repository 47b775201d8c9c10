"""`cronq batch`: open, close, show and list batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cronq.commands import bulk
from cronq.commands import options as given
from cronq.commands.fast_options import positive

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cronq.model.batch import BatchRow
    from cronq.store import Store

_ALL = "Exit status: 0 done, 65 bad input, 69 database out of reach, 78 configuration.\n"
_ONE = "Exit status: 0 done, 1 no such batch, 65 bad input, 69 database out of reach, 78 configuration.\n"

_EXAMPLE = f"""\
Example:

\b
  batch=$(cronq batch open nightly)
  for day in 1 2 3; do cronq enqueue --batch "$batch" -- ./load "$day"; done
  cronq enqueue --after "batch:$batch" -- ./publish
  cronq batch close "$batch"
  cronq wait "batch:$batch"

{_ONE}"""

_OPEN_EXAMPLE = f"""\
Example:

\b
  batch=$(cronq batch open nightly)

{_ALL}"""

_CLOSE_EXAMPLE = f"""\
Example:

\b
  cronq batch close 7

{_ONE}"""

_SHOW_EXAMPLE = f"""\
Example:

\b
  cronq batch show 7
  cronq batch show 7 --json | jq .counts

{_ONE}"""

_LS_EXAMPLE = f"""\
Example:

\b
  cronq batch ls --unended

{_ALL}"""

Name = Annotated[str | None, typer.Argument(metavar="NAME", help="A name to recognise it by.", show_default=False)]
OneBatch = Annotated[str, typer.Argument(metavar="ID", help="The id of a batch.", show_default=False)]
OnFailed = Annotated[
    str, typer.Option("--on-failed", metavar="HOW", help="cancel: a job that fails cancels the others.")
]
Limit = Annotated[str, typer.Option("--limit", metavar="N", help="Maximum number of batches.")]
Unended = Annotated[bool, typer.Option("--unended", help="Only those that have not ended, the oldest first.")]


def _batch() -> None:
    """Open, close and show batches: jobs that end together."""


def _open(
    context: typer.Context, name: Name = None, *, on_failed: OnFailed = "continue", as_json: given.AsJson = False
) -> None:
    """Open a batch, which takes jobs until it is closed and they have ended; prints its id."""
    from cronq.render.text import write

    with given.invocation(context).cronq(with_tasks=False) as queue:
        batch = queue.open_batch(name, on_failed=on_failed)
        if as_json:
            _print_json(queue.store, queue.store.batches.require(batch.id))
        else:
            write([str(batch.id)])


def _close(context: typer.Context, batch: OneBatch, *, as_json: given.AsJson = False) -> None:
    """Let a batch end once its jobs have ended.

    Closing it twice changes nothing.
    """
    call = given.invocation(context)
    with call.store() as store:
        found = given.batch(store, batch)
        if store.batches.close(found.id):
            bulk.note(call)
        if as_json:
            _print_json(store, store.batches.require(found.id))


def _show(context: typer.Context, batch: OneBatch, *, as_json: given.AsJson = False) -> None:
    """Show a batch: state, numbers of its jobs by state, when and by whom it was opened, what comes after it."""
    from cronq.render.text import write

    with given.invocation(context).store(reading=True) as store:
        found = given.batch(store, batch)
        if as_json:
            _print_json(store, found)
        else:
            write(_page(store, found))


def _ls(
    context: typer.Context, *, unended: Unended = False, limit: Limit = "20", as_json: given.AsJson = False
) -> None:
    """List batches, the newest first: id, state, name, jobs, when it was opened and by whom."""
    from cronq.render.text import document, write

    number = positive(limit, what="--limit") or 0
    with given.invocation(context).store(reading=True) as store:
        found = store.batches.unended(number) if unended else store.batches.newest(number)
        if as_json:
            write([document([one.to_json(store.batches.counts(one.id)) for one in found])])
        else:
            write(_line(store, one) for one in found)


def _print_json(store: Store, batch: BatchRow) -> None:
    from cronq.render.text import document, write

    write([document(batch.to_json(store.batches.counts(batch.id)))])


def _page(store: Store, batch: BatchRow) -> Iterable[str]:
    from cronq.client.waiting import told
    from cronq.model.printable import one_line

    lines: Sequence[tuple[str, str]] = [
        ("batch", batch.label.removeprefix("batch ")),
        ("state", batch.state),
        ("jobs", told(store.batches.counts(batch.id))),
        ("opened", f"{_time(batch.opened_at)} by {batch.opened_by}"),
        ("closed", _time(batch.closed_at)),
        ("cancelled", _time(batch.cancelled_at)),
        ("ended", _time(batch.ended_at)),
        ("on failed", batch.on_failed),
        ("before", ", ".join(f"job {one.id} ({one.state})" for one in store.flow.children(-batch.id, limit=20))),
    ]
    return (one_line(f"{label:<11}{text}") for label, text in lines if text)


def _line(store: Store, batch: BatchRow) -> str:
    from cronq.client.waiting import told
    from cronq.render.tsv import tabbed

    opened = f"{_time(batch.opened_at)} by {batch.opened_by}"
    return tabbed(str(batch.id), batch.state, batch.name or "", told(store.batches.counts(batch.id)), opened)


def _time(instant: int | None) -> str:
    from cronq.render.text import time
    from cronq.times import to_datetime

    return "" if instant is None else time(to_datetime(instant))


def register(app: typer.Typer) -> None:
    """Add the command and those under it to the program."""
    group = typer.Typer(rich_markup_mode=None)
    group.callback(epilog=_EXAMPLE)(_batch)
    group.command("open", epilog=_OPEN_EXAMPLE)(_open)
    group.command("close", epilog=_CLOSE_EXAMPLE)(_close)
    group.command("show", epilog=_SHOW_EXAMPLE)(_show)
    group.command("ls", epilog=_LS_EXAMPLE)(_ls)
    app.add_typer(group, name="batch")
