"""`cronq` without a command: print the state of the queue in five lines, and the commands by their purpose."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cronq.commands import PURPOSES
from cronq.errors import CronqError, NoQueue

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cronq.commands import Invocation
    from cronq.storage.stats import QueueStats

_LABEL = 9


def show(call: Invocation) -> int:
    """Print the overview; if the queue can't be read, one line with the problem instead of its state."""
    from cronq.render.text import write

    write([*_status(call), "", *_commands(), "", "cronq help COMMAND says more, cronq help lists what each does."])
    return 0


def _status(call: Invocation) -> Iterator[str]:
    try:
        yield f"queue     {call.config.safe_database()}"
        with call.store(reading=True) as store:
            stats = store.jobs.stats()
    except NoQueue:
        yield "jobs      none: the queue is made when the first one is enqueued"
        return
    except CronqError as error:
        yield f"problem   {error}"
        return
    yield from _standing(stats)


def _standing(stats: QueueStats) -> Iterator[str]:
    from cronq.model.states import SHOWN
    from cronq.render.status import last_run
    from cronq.times import span

    totals = {state: stats.total(state) for state in SHOWN if state != "cancelled"}
    told = [f"{number:,} {state}" for state, number in totals.items() if number]
    oldest = stats.age(min(stats.ready_since.values(), default=None))
    yield f"jobs      {', '.join(told) or 'none'}"
    yield f"oldest    {'nothing is due' if oldest is None else f'due for {span(oldest)}'}"
    yield f"last run  {last_run(stats)}"
    yield f"workers   {len(stats.workers) or 'none'}"


def _commands() -> Iterator[str]:
    for purpose, verbs in PURPOSES.items():
        yield f"{purpose:<{_LABEL}} {' '.join(verbs)}"
