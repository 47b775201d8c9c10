"""Limit the size of messages, warnings, notes and results of a job, and mark what is cut off.

The child applies these limits, so that neither the runner nor the database receives more.
"""

from __future__ import annotations

import re

from cronq.execution.output_capture import storable

MESSAGE_LIMIT = 4_096
"""Characters of an error's message, and of one warning."""

NAME_LIMIT = 200
"""Characters of an error's class name."""

PATH_LIMIT = 250
"""Characters of the importable path of an error's class."""

JSON_LIMIT = 65_536
"""Bytes of JSON of a job's notes."""

_DEEPEST = 100
"""Levels of nesting that every reader of JSON accepts, databases included."""

_MOST_WARNINGS = 100
_WARNINGS_LIMIT = 65_536
"""The limits for the warnings of one attempt: their number, and the characters of all together."""

_TOKEN = r'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]'


def kept(text: str, limit: int = MESSAGE_LIMIT) -> str:
    """Return the text made storable; a longer one is cut after `limit` characters, with "…" at its end."""
    whole = storable(text[:limit])
    return whole if len(text) <= limit and len(whole) <= limit else f"{whole[:limit]}…"


def fault_of(json_text: str, *, limit: int = JSON_LIMIT) -> str | None:
    """Return the reason why this JSON can't be stored: over `limit` bytes, or nested too deeply; None if it can."""
    size = len(json_text.encode("utf-8", "surrogatepass"))
    if size > limit:
        return f"{size} bytes of JSON, the limit is {limit}"
    if json_text.count("[") + json_text.count("{") > _DEEPEST and (levels := _levels(json_text)) > _DEEPEST:
        return f"JSON nested {levels} levels deep, the limit is {_DEEPEST}"
    return None


def _levels(json_text: str) -> int:
    level = deepest = 0
    for token in re.finditer(_TOKEN, json_text):
        level += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token[0], 0)
        deepest = max(deepest, level)
    return deepest


class Warnings:
    """The warnings of one attempt, with the number of those left out."""

    __slots__ = ("_left_out", "_messages", "_room")

    def __init__(self) -> None:
        self._messages: list[str] = []
        self._room = _WARNINGS_LIMIT
        self._left_out = 0

    def add(self, message: str) -> None:
        """Keep a warning, cut if it is long; once the limits are reached, only count it."""
        if len(self._messages) == _MOST_WARNINGS or self._room <= 0:
            self._left_out += 1
            return
        self._messages.append(kept(message))
        self._room -= len(self._messages[-1])

    def __bool__(self) -> bool:
        return bool(self._messages)

    @property
    def messages(self) -> tuple[str, ...]:
        """The warnings that are kept; if any were left out, one more with their number."""
        if not self._left_out:
            return tuple(self._messages)
        return (*self._messages, f"… {self._left_out} more warnings were left out")
