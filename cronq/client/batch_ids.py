"""Read the ways in which callers name a batch: the object, its id, or `batch:7`."""

from __future__ import annotations

from typing import Any

from cronq.errors import InvalidInput

PREFIX = "batch:"
LARGEST_ID = 2**63 - 1


class BatchReference:
    """The base class of `Batch`, for modules that must not import `batches`."""

    @property
    def id(self) -> int:
        """The batch's id."""
        raise NotImplementedError


def batch_id(value: Any, what: str) -> int:
    """Return the id of the batch that a value names. Raises InvalidInput naming `what`."""
    if isinstance(value, BatchReference):
        return value.id
    text = value.removeprefix(PREFIX) if isinstance(value, str) else value
    if isinstance(text, str) and text.isascii() and text.isdecimal():
        text = int(text)
    if type(text) is not int or not 0 < text <= LARGEST_ID:
        raise InvalidInput(f"{what}: expected the id of a batch: got {value!r}")
    return text


def names_batch(value: Any) -> bool:
    """Tell whether a value names a batch, where it may name a job too."""
    return isinstance(value, BatchReference) or (isinstance(value, str) and value.startswith(PREFIX))
