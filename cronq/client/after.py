"""Read what callers say a new job comes after, and resolve the refs between the jobs of one call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from cronq.client.batch_ids import LARGEST_ID, PREFIX, batch_id, names_batch
from cronq.errors import InvalidInput
from cronq.model.after import KINDS, MISSING, REF
from cronq.model.dependencies import After
from cronq.model.job import Job, NewJob

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence


_NAMING = frozenset({REF, *KINDS})
"""The keys of a job that give it a ref or may use the ref of another one."""


def taken(options: dict[str, Any]) -> tuple[After, ...]:
    """Remove the options that say what a job comes after, and return what they say.

    Raises InvalidInput naming the option.
    """
    missing = options.pop(MISSING, "refuse")
    if missing not in ("refuse", "ignore"):
        raise InvalidInput(f"{MISSING}: expected 'refuse' or 'ignore': got {missing!r}")
    must_exist = missing == "refuse"
    return tuple(
        After(_id(value, kind), kind, must_exist=must_exist)
        for kind in KINDS
        for value in _values(options.pop(kind, ()))
    )


def chained(jobs: Iterable[NewJob]) -> list[NewJob]:
    """Return the jobs, each of them coming after the one before it."""
    given = list(jobs)
    first = given[:1]
    return first + [job._replace(after=(*job.after, After(n, here=True))) for n, job in enumerate(given[1:])]


def prepared(
    jobs: Iterable[NewJob | Mapping[str, Any]], prepare: Callable[[Mapping[str, Any]], NewJob]
) -> list[NewJob]:
    """Return the jobs of one call with their refs resolved; `prepare` makes a job of a dict.

    Raises InvalidInput naming the first bad one, counted from 1.
    """
    refs = _Refs()
    found = []
    for number, job in enumerate(jobs):
        try:
            if isinstance(job, NewJob):
                found.append(job)
            elif isinstance(job, dict) and not _NAMING.isdisjoint(job):
                found.append(prepare(refs.taken(number, job)))
            else:
                found.append(prepare(job))
        except InvalidInput as error:
            raise type(error)(f"job {number + 1}: {error}") from error
    return refs.tie(found)


class _Named(NamedTuple):
    number: int
    kind: str
    ref: str


class _Refs:
    """Collects the refs of the jobs of one call, and their uses by other jobs."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._named: list[_Named] = []

    def taken(self, number: int, spec: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the description of a job without its own ref and those that it uses, which are recorded."""
        rest = dict(spec)
        if REF in rest:
            self._name(rest.pop(REF), number)
        for kind in KINDS:
            values = list(_values(rest.pop(kind, ())))
            names = [value for value in values if _is_name(value)]
            self._named += [_Named(number, kind, name) for name in names]
            others = [value for value in values if not _is_name(value)]
            if others:
                rest[kind] = others
        return rest

    def _name(self, ref: Any, number: int) -> None:
        if not isinstance(ref, str) or not ref or not _is_name(ref):
            raise InvalidInput(f"{REF}: expected a text that is no number and doesn't begin with {PREFIX}: got {ref!r}")
        if ref in self._numbers:
            raise InvalidInput(f"{REF}: {ref!r} is given twice")
        self._numbers[ref] = number

    def tie(self, jobs: list[NewJob]) -> list[NewJob]:
        """Return the jobs with refs replaced by places in the call. Raises InvalidInput: unknown ref, or a circle."""
        for number, kind, ref in self._named:
            if ref not in self._numbers:
                raise InvalidInput(f"refs: {kind} {ref!r}: no job of this call has that ref")
            tied = After(self._numbers[ref], kind, here=True)
            jobs[number] = jobs[number]._replace(after=(*jobs[number].after, tied))
        if self._named:
            self._require_no_circle()
        return jobs

    def _require_no_circle(self) -> None:
        from graphlib import CycleError, TopologicalSorter  # here, not above: few calls have refs

        before: dict[int, list[int]] = {}
        for number, _, ref in self._named:
            before.setdefault(number, []).append(self._numbers[ref])
        try:
            TopologicalSorter(before).prepare()
        except CycleError as error:
            names = {number: ref for ref, number in self._numbers.items()}
            circle = " after ".join(names[number] for number in reversed(error.args[1]))
            raise InvalidInput(f"refs: jobs come after each other in a circle: {circle}") from None


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and not value.isdecimal() and not value.startswith(PREFIX)


def _values(given: Any) -> Iterator[Any] | Sequence[Any]:
    if given is None:
        return ()
    return given if isinstance(given, list | tuple) else (given,)


def _id(value: Any, kind: str) -> int:
    if isinstance(value, Job):
        return value.id
    if names_batch(value):
        return -batch_id(value, kind)
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        value = int(value)
    if type(value) is not int or not 0 < value <= LARGEST_ID:
        raise InvalidInput(f"{kind}: expected the id of a job, or batch:ID: got {value!r}")
    return value
