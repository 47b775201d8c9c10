"""Keep the state of `cronq top`, and handle its keys; apart from the command, because it imports rich."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cronq.errors import CronqError, NoQueue
from cronq.model.job import State
from cronq.model.selection import Selection
from cronq.monitoring.throughput import Throughput
from cronq.render import top as screens
from cronq.storage.admin import BATCH
from cronq.system import audit
from cronq.times import to_datetime

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import RenderableType

    from cronq.model.job import Job
    from cronq.render.console import Screen
    from cronq.storage.reading import FailedAttempt
    from cronq.store import Store


_LISTINGS = (screens.FAILURES, "running", "ready", "retrying", "failed", "waiting", "blocked", "pending", "scheduled")

_LOOKED_THROUGH = 200
"""Failed attempts, where only those of one queue are wanted."""


class Top:
    """The state of one live view."""

    def __init__(self, store: Store, screen: Screen, *, where: str) -> None:
        self._store = store
        self._screen = screen
        self._where = where
        self._view = screens.View()
        self._pulse = Throughput()
        self._queues: Sequence[str] = ()
        self._sure: Callable[[], str] | None = None
        self._drawn: RenderableType = ""

    def frame(self) -> RenderableType:
        """Read and draw a frame; while the database is unreachable, the last one with a line about that."""
        try:
            picture = self._look()
        except NoQueue:
            raise
        except CronqError as error:
            self._view = self._view._replace(said=str(error))
            return self._drawn or str(error)
        self._drawn = screens.draw(picture, self._view, self._screen)
        return self._drawn

    def press(self, key: str) -> None:
        """Handle a key."""
        if self._sure is not None:
            self._answer(yes=key == "y")
            return
        self._view = self._view._replace(said="")
        keys: dict[str, Callable[[], None]] = {
            "down": lambda: self._choose(1),
            "j": lambda: self._choose(1),
            "up": lambda: self._choose(-1),
            "k": lambda: self._choose(-1),
            "s": self._next_listing,
            "p": self._pause,
            "r": self._ask_to_retry,
        }
        keys.get(key, lambda: None)()

    def _look(self) -> screens.Picture:
        stats = self._store.jobs.stats()
        self._queues = stats.queues
        self._pulse.look(self._store, stats.queues)
        running: dict[str, list[tuple[int, str, int]]] = {}
        shown, now = self._store.progress.all(), to_datetime(stats.now)
        for worker, job_id, task, since in self._store.jobs.running():
            told = f"{task}, {shown[job_id].told(now)}," if job_id in shown else task
            running.setdefault(worker, []).append((job_id, told, since))
        _, _, rows = screens.room(self._screen.console.height, stats)
        return screens.Picture(self._where, stats, self._pulse, running, self._listed(rows))

    def _listed(self, rows: int) -> Sequence[Job | FailedAttempt]:
        queue = self._view.queue
        if self._view.listing == screens.FAILURES:
            failed = self._store.jobs.latest_failures(limit=rows if queue is None else _LOOKED_THROUGH)
            return [one for one in failed if queue in (None, one.queue)][:rows]
        selection = Selection(states=frozenset({self._view.listing}), queues=() if queue is None else (queue,))
        return self._store.jobs.find(selection, limit=rows)

    # Keys

    def _choose(self, step: int) -> None:
        """Choose the next queue or the one before; "all" comes before the first."""
        around: list[str | None] = [None, *self._queues]
        place = around.index(self._view.queue) if self._view.queue in around else 0
        self._view = self._view._replace(queue=around[(place + step) % len(around)])

    def _next_listing(self) -> None:
        place = _LISTINGS.index(self._view.listing)
        self._view = self._view._replace(listing=_LISTINGS[(place + 1) % len(_LISTINGS)])

    def _pause(self) -> None:
        queue = self._view.queue
        if queue is None:
            said = "which queue? up and down choose one"
        elif self._store.admin.pause(queue):
            audit.record(("pause", queue))
            said = f"queue {queue} is paused: p lets it go on"
        else:
            if self._store.admin.resume(queue):
                audit.record(("resume", queue))
            said = f"queue {queue} goes on"
        self._view = self._view._replace(said=said)

    def _ask_to_retry(self) -> None:
        queue = self._view.queue
        states = frozenset({State.FAILED.value, State.RETRYING.value})
        chosen = Selection(states=states, queues=() if queue is None else (queue,))
        ids = self._store.jobs.ids(chosen)
        place = "all queues" if queue is None else f"queue {queue}"
        if not ids:
            self._view = self._view._replace(said=f"nothing is failed or retrying in {place}")
            return
        number = "1 failed or retrying job" if len(ids) == 1 else f"{len(ids):,} failed or retrying jobs"
        self._sure = lambda: self._retry(queue, ids)
        self._view = self._view._replace(said=f"retry {number} of {place}? y, or any other key")

    def _answer(self, *, yes: bool) -> None:
        sure, self._sure = self._sure, None
        self._view = self._view._replace(said=sure() if yes and sure is not None else "nothing was changed")

    def _retry(self, queue: str | None, ids: Sequence[int]) -> str:
        changed = 0
        for start in range(0, len(ids), BATCH):
            changed += len(self._store.admin.retry_all_but_twins(ids[start : start + BATCH]).changed)
        audit.record(("retry", "--state", "failed,retrying", *(() if queue is None else ("--queue", queue))), changed)
        left = len(ids) - changed
        return f"{changed:,} retried" + (f", {left:,} not, because of their unfinished twins" if left else "")
