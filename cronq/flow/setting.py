"""Set bounds of limits over the configuration's, and remove them again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cronq.errors import JobNotFound
from cronq.flow.configured import configured
from cronq.model.limits import Bounds, Limit, defined_by

if TYPE_CHECKING:
    from cronq.config.loader import Config
    from cronq.flow.definitions import Definitions
    from cronq.flow.limits import Limits


class LimitSetter:
    """Changes the bounds of limits."""

    def __init__(self, config: Config, definitions: Definitions, limits: Limits) -> None:
        self._config = config
        self._definitions = definitions
        self._limits = limits

    def set(self, name: str, concurrency: int | None, rate: tuple[int, int] | None) -> None:
        """Set the given bounds over the configuration's; one that is None stays as it is.

        Raises JobNotFound for an unknown limit.
        """
        before = self._definitions.get(name)
        own = Bounds(concurrency, *(rate or (None, None)))
        self._change(name, own.over(before.own if before else Bounds()))

    def reset(self, name: str) -> None:
        """Remove the bounds set over the configuration's. Raises JobNotFound for an unknown limit."""
        self._change(name, Bounds())

    def _change(self, name: str, own: Bounds) -> None:
        bounds = configured(self._config)
        pattern = defined_by(name, bounds)
        changed = self._definitions.set(name, own, None if pattern is None else Limit(name, pattern, bounds[pattern]))
        if changed is None:
            raise JobNotFound(f"there is no limit {name!r}: neither [limits] nor a job names it")
        self._limits.admit(changed, even_full=changed)
