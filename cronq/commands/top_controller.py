"""Keep the state of `cronq top`, and handle its keys; a module apart from the command, because it imports rich."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cronq.commands.top_actions import Question, Target, TopActions
from cronq.commands.top_job import JobPage
from cronq.commands.top_reader import TopReader
from cronq.errors import CronqError, NoQueue
from cronq.model.job import Job
from cronq.render import top as screens
from cronq.render.top_keys import help_page

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rich.console import RenderableType

    from cronq.render.console import Screen
    from cronq.storage.failure_groups import FailureGroup
    from cronq.store import Store


_PAGE = 10
"""Rows that Page Up and Page Down move by."""

_FAR = 1 << 30


class Top:
    """The state of one live view: the data that is shown, the cursor, the open question."""

    def __init__(self, store: Store, screen: Screen, *, where: str, live: bool) -> None:
        self._store = store
        self._screen = screen
        self._live = live
        self._reader = TopReader(store, where)
        self._actions = TopActions(store)
        self._view = screens.View()
        self.snapshot: screens.Snapshot | None = None
        self._page: JobPage | None = None
        self._helps = False
        self._sure: Callable[[], str] | None = None
        self._moved = False
        """Whether another list is selected than the one that was read."""
        self._group = 0
        """The row of the group of failures whose jobs are listed."""
        self.over = False
        """Whether the user has quit."""
        self.stale = True
        """Whether data must be read before the next frame."""

    def refresh(self) -> None:
        """Read the data of the view; if that fails in a live view, keep the last data and show the error.

        Raises NoQueue, and other errors if the view isn't live.
        """
        self.stale = False
        try:
            if self._page is not None:
                self._page.refresh()
            else:
                self._follow(self._reader.snapshot(self._view))
        except NoQueue:
            raise
        except CronqError as error:
            if not self._live:
                raise
            self._say(str(error))

    def _follow(self, snapshot: screens.Snapshot) -> None:
        """Take the new snapshot, and move the cursor with the row at which it is."""
        before = self.snapshot.listed if self.snapshot is not None else ()
        rows, place = [_key_of(one) for one in snapshot.listed], self._view.chosen
        here = _key_of(before[place]) if place < len(before) else None
        if here in rows and not self._moved:
            place = rows.index(here)
        self._moved = False
        self.snapshot = snapshot
        self._view = self._view._replace(chosen=_within(place, len(rows)))

    def frame(self) -> RenderableType:
        """Draw the view with the data that was read."""
        if self._helps:
            return help_page(screens.LISTINGS)
        if self._page is not None:
            return self._page.frame(self._view)
        if self.snapshot is None:
            return screens.bottom(self._view, self._screen, "")
        return screens.draw(self.snapshot, self._view, self._screen, live=self._live)

    def press(self, key: str) -> None:
        """Handle a key; show the error if that fails."""
        try:
            self._handle(key)
        except CronqError as error:
            self._say(str(error))

    def _handle(self, key: str) -> None:
        if self._helps:
            self._helps = False
        elif self._sure is not None:
            self._answer(yes=key == "y")
        elif self._view.typed is not None:
            self._type(key, self._view.typed)
        else:
            self._say("")
            keys = self._keys_of_page(self._page) if self._page is not None else self._keys_of_lists()
            keys.get(key, lambda: None)()

    def _say(self, text: str) -> None:
        self._view = self._view._replace(said=text)

    # A job

    def _keys_of_page(self, page: JobPage) -> Mapping[str, Callable[[], None]]:
        scrolling = ("j", "k", "up", "down", "page up", "page down", " ", "g", "G", "home", "end")
        return {
            **{key: lambda key=key: page.scroll(key) for key in scrolling},  # type: ignore[misc]
            **dict.fromkeys(("q", "esc", "left", "h"), self._close),
            "r": lambda: self._ask(self._actions.retry_job(page.job_id)),
            "c": lambda: self._ask(self._actions.cancel_job(page.job_id)),
            "?": self._help,
        }

    def _open(self, job_id: int) -> None:
        self._page = JobPage(self._store, self._screen, job_id)
        self.stale = True

    def _close(self) -> None:
        self._page = None
        self.stale = True

    def _help(self) -> None:
        self._helps = True

    # Queues and the list

    def _keys_of_lists(self) -> Mapping[str, Callable[[], None]]:
        steps = {
            **dict.fromkeys(("j", "down"), 1),
            **dict.fromkeys(("k", "up"), -1),
            **dict.fromkeys(("page down", " "), _PAGE),
            "page up": -_PAGE,
            **dict.fromkeys(("G", "end"), _FAR),
            **dict.fromkeys(("g", "home"), -_FAR),
        }
        return {
            **{key: lambda step=step: self._move(step) for key, step in steps.items()},  # type: ignore[misc]
            **dict.fromkeys(("enter", "right", "l"), self._enter),
            **dict.fromkeys(("esc", "left", "h"), self._back),
            "tab": self._change_focus,
            "s": lambda: self._next_listing(1),
            "S": lambda: self._next_listing(-1),
            "/": lambda: self._show(typed=self._view.text),
            "p": lambda: self._pause(),
            "r": lambda: self._ask(self._retry()),
            "c": lambda: self._ask(self._cancel()),
            "?": self._help,
            "q": self._quit,
        }

    def _show(self, **changes: object) -> None:
        """Change the view; if it needs other data, they are read before the next frame."""
        before = self._view
        self._view = before._replace(**changes)  # type: ignore[arg-type]
        wanted = ("queue", "listing", "error", "text")
        if any(getattr(before, name) != getattr(self._view, name) for name in wanted):
            self._view = self._view._replace(chosen=0)
            self.stale = self._moved = True

    def _move(self, step: int) -> None:
        if self.snapshot is None:
            return
        if self._view.focus == screens.QUEUES:
            around: list[str | None] = [None, *self.snapshot.queues]
            place = around.index(self._view.queue) if self._view.queue in around else 0
            self._show(queue=around[_within(place + step, len(around))], error=None)
        else:
            self._show(chosen=_within(self._view.chosen + step, len(self.snapshot.listed)))

    def _enter(self) -> None:
        row = self._row()
        if self._view.focus == screens.QUEUES:
            self._show(focus=screens.LIST)
        elif isinstance(row, Job):
            self._open(row.id)
        elif row is not None:
            self._group = self._view.chosen
            self._show(error=row.fingerprint)

    def _back(self) -> None:
        view = self._view
        if view.error is not None:
            self._show(error=None)
            self._view = self._view._replace(chosen=self._group)
        elif view.text:
            self._show(text="")
        elif view.focus == screens.LIST:
            self._show(focus=screens.QUEUES)
        else:
            self._show(queue=None)

    def _change_focus(self) -> None:
        self._show(focus=screens.QUEUES if self._view.focus == screens.LIST else screens.LIST)

    def _next_listing(self, step: int) -> None:
        place = screens.LISTINGS.index(self._view.listing)
        self._show(listing=screens.LISTINGS[(place + step) % len(screens.LISTINGS)], error=None)

    def _type(self, key: str, text: str) -> None:
        if key == "enter":
            self._show(text=text.strip(), typed=None, error=None, focus=screens.LIST)
        elif key == "esc":
            self._show(typed=None)
        elif key == "backspace":
            self._show(typed=text[:-1])
        elif len(key) == 1 and key.isprintable():
            self._show(typed=text + key)

    def _quit(self) -> None:
        self.over = True

    def _row(self) -> Job | FailureGroup | None:
        listed: Sequence[Job | FailureGroup] = () if self.snapshot is None else self.snapshot.listed
        return listed[self._view.chosen] if self._view.focus == screens.LIST and listed else None

    # Changes

    def _pause(self) -> None:
        self._say(self._actions.pause(self._view.queue))
        self.stale = True

    def _retry(self) -> Question | str:
        row = self._row()
        if isinstance(row, Job):
            return self._actions.retry_job(row.id)
        return self._actions.retry(self._target(row))

    def _cancel(self) -> Question | str:
        row = self._row()
        if row is None:
            return "which job? Tab goes to the list"
        return self._actions.cancel_job(row.id) if isinstance(row, Job) else self._actions.cancel(self._target(row))

    def _target(self, row: FailureGroup | None) -> Target:
        if row is None:
            return Target.of_queue(self._view.queue)
        return Target.of_error(row.fingerprint, self._view.queue)

    def _ask(self, asked: Question | str) -> None:
        if isinstance(asked, str):
            self._say(asked)
        else:
            self._sure = asked.sure
            self._say(asked.text)

    def _answer(self, *, yes: bool) -> None:
        sure, self._sure = self._sure, None
        self._say(sure() if yes and sure is not None else "nothing was changed")
        if yes:
            self._reader.forget()
            self.stale = True


def _key_of(row: Job | FailureGroup) -> int | str:
    return row.id if isinstance(row, Job) else row.fingerprint


def _within(place: int, number: int) -> int:
    return max(0, min(place, number - 1))
