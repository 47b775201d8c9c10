"""Match names of events against the patterns of subscriptions, as in AMQP.

Words are separated by dots. In a pattern `*` stands for exactly one word, `#` for any
number of words, none included.
"""

from __future__ import annotations

from cronq.errors import ConfigError, InvalidInput


def matches(pattern: str, event: str) -> bool:
    """Tell whether the event's name fits the pattern."""
    words = event.split(".")
    reached = {0}
    for part in pattern.split("."):
        if part == "#":
            reached = set(range(min(reached), len(words) + 1))
        else:
            reached = {at + 1 for at in reached if at < len(words) and part in ("*", words[at])}
        if not reached:
            return False
    return len(words) in reached


def check_event(event: str) -> None:
    """Raise InvalidInput unless this is the name of one event: words separated by dots, no wildcards."""
    if not all(word and not set("*#") & set(word) for word in event.split(".")):
        raise InvalidInput(f"event {event!r}: expected words split by dots, like shot.start")


def check_pattern(pattern: str) -> None:
    """Raise ConfigError unless this is a pattern: words separated by dots, each a word, `*` or `#`."""
    for word in pattern.split("."):
        if word not in ("*", "#") and (not word or set("*#") & set(word)):
            message = f"event pattern {pattern!r}: expected words split by dots, each of them a word, * or #"
            raise ConfigError(message)
