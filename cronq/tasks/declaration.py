"""Record where a task was declared, to tell two callables with one name from a module that was loaded again."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType


class TaskDeclaration(NamedTuple):
    """The line that declares a task, and the load of the module in which it runs."""

    line: str
    module: str
    """The module's file."""
    load: object
    """An object that is another one each time the module is imported or reloaded."""

    def is_again(self, other: TaskDeclaration) -> bool:
        """Tell whether the other declaration is of the same module, which was loaded again."""
        return self.module == other.module and self.load is not other.load


def here() -> TaskDeclaration:
    """Find the current declaration: the nearest line outside of cronq, and the module that is being loaded."""
    frames = [frame for frame in _callers() if not str(frame.f_globals.get("__name__")).startswith("cronq.")]
    nearest = frames[0]
    # The nearest line may be in a decorator of another module than the one that is being loaded.
    module = next((frame for frame in frames if frame.f_code.co_name == "<module>"), nearest)
    load = module.f_globals.get("__spec__") or module.f_globals
    return TaskDeclaration(f"{nearest.f_code.co_filename}:{nearest.f_lineno}", module.f_code.co_filename, load)


def _callers() -> Iterator[FrameType]:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        yield frame
        frame = frame.f_back
