"""Define a registry without tasks, for jobs that are shell commands.

To import the real one takes as long as to start Python.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NoReturn, cast

from cronq.errors import UnknownTask

if TYPE_CHECKING:
    from collections.abc import Callable

    from cronq.tasks.registry import Registry


class _NoTasks:
    """A registry without tasks and hooks."""

    def __init__(self) -> None:
        self.hooks: dict[str, list[Callable[..., object]]] = defaultdict(list)
        self.batch_of = None

    def get(self, name: str) -> None:
        """Return None."""

    def resolve(self, name: str) -> NoReturn:
        """Raise UnknownTask."""
        raise UnknownTask(f"unknown task {name!r}: there is no app in the config")


NO_TASKS = cast("Registry", _NoTasks())
