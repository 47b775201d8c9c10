"""Replace ProcessState in a child that starts only shell commands, which can't change its process.

Importing and making the real one takes 3 % of the time until serve-inetd has started a command.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cronq.execution.process_state import ProcessState


class _UnchangedState:
    """Has nothing to put back, and no threads."""

    def watch(self) -> None:
        """Replace no functions."""

    def read_before_fork(self) -> None:
        """Read nothing."""

    def begin(self, _handlers: object, _variables: object, at_start: Sequence[Callable[[], object]]) -> None:
        """Call the functions of `at_start`."""
        for hook in at_start:
            hook()

    def adopt_threads(self) -> None:
        """Do nothing."""

    def may_differ(self, _took: int) -> bool:
        """Return False."""
        return False

    def has_threads(self) -> bool:
        """Return False."""
        return False

    def threads_left(self) -> str:
        """Return no names."""
        return ""


UNCHANGED = cast("ProcessState", _UnchangedState())
