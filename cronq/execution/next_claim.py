"""Define when a runner claims again."""

from __future__ import annotations


class NextClaim:
    """Holds the time of the next claim; code that makes jobs ready in this process calls `changed`."""

    def __init__(self) -> None:
        self.at = 0.0
        """The monotonic time of the next claim."""
        self.found_nothing = False
        """Whether the last claim found nothing, and nothing has changed since."""
        self.due: int | None = None
        """The instant at which a scheduled, retrying or waiting job is due, as far as known."""

    def changed(self) -> None:
        """Claim again at once."""
        self.found_nothing = False
        self.at = 0.0
