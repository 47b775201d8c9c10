"""Read the filters of a list of jobs from an address or a form, and write them as a command."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, NamedTuple

from cronq.errors import InvalidInput
from cronq.model.job import State
from cronq.model.selection import Selection
from cronq.times import parse_duration, parse_past

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from werkzeug.datastructures import MultiDict

    from cronq.storage.browsing import JobRow
    from cronq.web.masking import Masking

FIELDS = ("state", "queue", "task", "group", "key", "error", "since", "until", "search", "older_than", "batch", "id")
_MOST_IDS = 10_000
_LONGEST = 400


class Query(NamedTuple):
    """Filters as they were given, and the selection that they describe."""

    given: Mapping[str, tuple[str, ...]]
    selection: Selection

    @property
    def parameters(self) -> dict[str, list[str]]:
        """The filters as parameters of an address."""
        return {name: list(values) for name, values in self.given.items()}

    def joined(self, name: str) -> str:
        """Return the values of a filter as a form shows them, joined by commas."""
        return ",".join(self.given.get(name, ()))

    @property
    def has_more(self) -> bool:
        """Whether there are filters besides those that a form always shows."""
        return not self.given.keys() <= {"state", "queue", "task", "search"}

    @property
    def options(self) -> list[str]:
        """The filters as options of the command line, after the ids, which are arguments."""
        words = [
            word
            for name, values in self.given.items()
            if name != "id"
            for one in ((",".join(values),) if name == "state" else values)
            for word in (f"--{name.replace('_', '-')}", one)
        ]
        return [*self.given.get("id", ()), *words]

    def command(self, verb: str) -> str:
        """Return the command line that applies a verb to the selected jobs."""
        return shlex.join(("cronq", verb, *self.options))


def read(form: MultiDict[str, str], *, now: int) -> Query:
    """Read the filters; `now` is the instant from which durations are counted. Raises InvalidInput."""
    given: dict[str, tuple[str, ...]] = {}
    for name in FIELDS:
        values = tuple(value.strip() for value in form.getlist(name) if value.strip())
        if name in ("state", "batch", "id"):
            values = tuple(part.strip() for value in values for part in value.split(",") if part.strip())
        for value in values:
            require_name(name, value)
        if values:
            given[name] = values
    selection = Selection(
        states=_states(given.get("state", ())),
        queues=given.get("queue", ()),
        tasks=given.get("task", ()),
        groups=given.get("group", ()),
        keys=given.get("key", ()),
        errors=given.get("error", ()),
        ids=_ids(given.get("id", ())),
        batches=_ids(given.get("batch", ()), of="batch"),
        since=_past(given, "since", now),
        until=_past(given, "until", now),
        search=next(iter(given.get("search", ())), None),
        older_than=_duration(given),
    )
    return Query(given, selection)


def require_name(what: str, text: str) -> None:
    """Raise InvalidInput for a text with a null character, or with more than _LONGEST characters."""
    if len(text) > _LONGEST:
        raise InvalidInput(f"{what}: longer than {_LONGEST} characters")
    if "\0" in text:
        raise InvalidInput(f"{what}: has a null character, which no job can have there")


def _states(names: tuple[str, ...]) -> frozenset[str]:
    for name in names:
        if name not in list(State):
            raise InvalidInput(f"state: there is no state {name!r}; there are {', '.join(one.value for one in State)}")
    return frozenset(names)


def identifier(text: str | None) -> int | None:
    """Parse an id; None if there is none or it is empty. Raises InvalidInput."""
    return _ids((text,))[0] if text else None


def _ids(texts: tuple[str, ...], *, of: str = "job") -> tuple[int, ...]:
    if len(texts) > _MOST_IDS:
        raise InvalidInput(f"id: more than {_MOST_IDS} ids")
    for text in texts:
        if not (text.isascii() and text.isdecimal() and len(text) < 19):  # noqa: PLR2004 - fits 64 bits
            raise InvalidInput(f"id: {text!r} is not the id of a {of} (a whole number)")
    return tuple(map(int, texts))


def _past(given: Mapping[str, tuple[str, ...]], name: str, now: int) -> int | None:
    return parse_past(given[name][0], now=now, what=name) if name in given else None


def _duration(given: Mapping[str, tuple[str, ...]]) -> float | None:
    return parse_duration(given["older_than"][0], what="older_than") if "older_than" in given else None


def searched(text: str | None, masking: Masking) -> Callable[[JobRow], bool] | None:
    """Make the function that tells whether a job has the text in what the viewer may see; None without a text.

    Masked values don't count, so that they can't be guessed by searches.
    """
    if text is None:
        return None
    wanted = text.lower()

    def fits(job: JobRow) -> bool:
        plain = (job.task, job.queue, job.key, job.group, job.error_class, job.error_message)
        if any(wanted in part.lower() for part in plain if part):
            return True
        if job.args_text is None:
            return False
        quoted = json.dumps(wanted)[1:-1]
        if wanted not in job.args_text.lower() and quoted not in job.args_text.lower():
            return True  # the database found it in the rest of a long message
        shown = f"{masking.short(job.task, job.args)} {json.dumps(masking.args(job.task, job.args))}"
        return wanted in shown.lower() or quoted in shown.lower()

    return fits
