"""Declare the options that several commands share, and convert them.

A command has one parameter for a family of options (which jobs, when and where a job runs): a
dataclass, or the Options of a quick command, whose fields `spread` declares to typer as options.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, is_dataclass
from difflib import get_close_matches
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from cronq.commands.fast_options import Options
from cronq.errors import InvalidInput, JobNotFound, UsageError
from cronq.model.job import State
from cronq.model.selection import Selection
from cronq.times import Clock, parse_duration, parse_past, to_datetime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from cronq.commands import Invocation
    from cronq.model.batch import BatchRow
    from cronq.model.job import Job
    from cronq.store import Store

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only print the ids that would change.")]
Utc = Annotated[bool, typer.Option("--utc", help="Show times in UTC instead of ages.")]
JobId = Annotated[str, typer.Argument(metavar="ID", help="The id of a job, or last.", show_default=False)]
SomeJobs = Annotated[
    list[str], typer.Argument(metavar="ID", help="The ids of jobs; last is the newest one.", show_default=False)
]
JobIds = Annotated[
    list[str] | None, typer.Argument(metavar="ID", help="The ids of jobs; last is the newest one.", show_default=False)
]

_States = Annotated[
    list[str] | None,
    typer.Option("--state", metavar="STATE", help="Only jobs in this state; repeatable, or a,b."),
]
_Queues = Annotated[
    list[str] | None,
    typer.Option("--queue", metavar="QUEUE", help="Only jobs of this queue, or of mail*, or !name; repeatable."),
]
_Tasks = Annotated[list[str] | None, typer.Option("--task", metavar="TASK", help="Only jobs of this task; repeatable.")]
_Groups = Annotated[
    list[str] | None, typer.Option("--group", metavar="GROUP", help="Only jobs of this group; repeatable.")
]
_Batches = Annotated[
    list[str] | None, typer.Option("--batch", metavar="ID", help="Only jobs of this batch; repeatable.")
]
_Keys = Annotated[list[str] | None, typer.Option("--key", metavar="KEY", help="Only jobs with this key; repeatable.")]
_Errors = Annotated[
    list[str] | None,
    typer.Option("--error", metavar="ERROR", help="Only jobs with this error: a fingerprint or a class; repeatable."),
]
_OlderThan = Annotated[
    str | None,
    typer.Option("--older-than", metavar="D", help="Only jobs that ended, or else were enqueued, longer ago."),
]


_Since = Annotated[
    str | None,
    typer.Option("--since", metavar="TIME", help="Only jobs that ended, else started or were enqueued, since then."),
]
_Until = Annotated[str | None, typer.Option("--until", metavar="TIME", help="The same, until then.")]
_Search = Annotated[
    str | None,
    typer.Option("--search", metavar="TEXT", help="Only jobs with this text in task, arguments, names or error."),
]


@dataclass(frozen=True, kw_only=True)
class Narrowing:
    """The options that select jobs, except by state."""

    queue: _Queues = None
    task: _Tasks = None
    group: _Groups = None
    batch: _Batches = None
    key: _Keys = None
    error: _Errors = None
    older_than: _OlderThan = None
    since: _Since = None
    until: _Until = None
    search: _Search = None

    def selection(self) -> Selection:
        """Make the selection. Raises InvalidInput for a wrong id, duration or time."""
        return Selection(
            queues=tuple(self.queue or ()),
            tasks=tuple(self.task or ()),
            groups=tuple(self.group or ()),
            batches=tuple(job_id(text.removeprefix("batch:")) for text in self.batch or ()),
            keys=tuple(self.key or ()),
            errors=tuple(self.error or ()),
            older_than=None if self.older_than is None else parse_duration(self.older_than, what="--older-than"),
            since=_past(self.since, what="--since"),
            until=_past(self.until, what="--until"),
            search=self.search or None,
        )


@dataclass(frozen=True, kw_only=True)
class Which(Narrowing):
    """The options that select jobs."""

    state: _States = None

    def selection(self) -> Selection:
        """Make the selection. Raises InvalidInput for an unknown state, or a wrong id, duration or time."""
        return super().selection()._replace(states=states(self.state))


def _past(text: str | None, *, what: str) -> int | None:
    return None if text is None else parse_past(text, now=Clock().now(), what=what)


def states(given: Iterable[str] | None) -> frozenset[str]:
    """Parse the states in `a`, `a,b` and repetitions of these. Raises InvalidInput with a suggestion."""
    names = [name.strip() for text in given or () for name in text.split(",")]
    for name in names:
        if name not in list(State):
            known = [state.value for state in State]
            hint = suggestion(name, known) or f"; there are {', '.join(known)}"
            raise InvalidInput(f"--state: there is no state {name!r}{hint}")
    return frozenset(names)


def suggestion(name: str, known: Iterable[str]) -> str:
    """Write `, did you mean 'mail'?`, or nothing if no known name is similar."""
    close = get_close_matches(name, list(known), n=1, cutoff=0.5)
    close = close or get_close_matches(name.lower(), list(known), n=1, cutoff=0.5)
    return f", did you mean {close[0]!r}?" if close else ""


def job_id(text: str) -> int:
    """Parse a job's id. Raises InvalidInput."""
    if not (text.isascii() and text.isdecimal() and len(text) < 19):  # noqa: PLR2004 - fits 64 bits
        raise InvalidInput(f"{text!r} is not the id of a job (a whole number)")
    return int(text)


def job_ids(store: Store, texts: Iterable[str]) -> list[int]:
    """Parse ids, without repetitions; `last` is the newest job. Raises InvalidInput, JobNotFound."""
    return list(dict.fromkeys(_newest(store) if text == "last" else job_id(text) for text in texts))


def jobs(store: Store, texts: Iterable[str]) -> tuple[list[Job], list[int]]:
    """Read the jobs with these ids; return them, and the ids that no job has. Raises as `job_ids` does."""
    asked = job_ids(store, texts)
    found = {job_id: store.jobs.get(job_id) for job_id in asked}
    return [job for job in found.values() if job is not None], [job_id for job_id in asked if found[job_id] is None]


def batch(store: Store, text: str) -> BatchRow:
    """Read the batch with this id, `7` or `batch:7`. Raises InvalidInput, JobNotFound."""
    batch_id = job_id(text.removeprefix("batch:"))
    found = store.batches.get(batch_id)
    if found is None:
        raise JobNotFound(f"there is no batch {batch_id}")
    return found


def require_none(missing: Sequence[int]) -> None:
    """Raise JobNotFound for the ids that no job has, if there are any."""
    if missing:
        raise JobNotFound(f"there is no job {' and no job '.join(map(str, missing))}")


def _newest(store: Store) -> int:
    found = store.jobs.find(Selection(), limit=1)
    if not found:
        raise JobNotFound("there is no job yet")
    return found[0].id


def invocation(context: typer.Context) -> Invocation:
    """Return the global options of this call."""
    given: Invocation = context.obj
    return given


def refuse(problem: str, context: typer.Context) -> UsageError:
    """Make the error for a contradictory or incomplete command line."""
    return UsageError(f"{problem} ({context.command_path} --help says more)")


def spread(command: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap the command for typer: each field of a parameter that is a family of options becomes an option."""
    hints = get_type_hints(command, include_extras=True)
    families: dict[str, Any] = {name: hint for name, hint in hints.items() if _is_family(hint)}
    parameters = [
        shown
        for parameter in inspect.signature(command).parameters.values()
        for shown in _shown(parameter.replace(annotation=hints[parameter.name]))
    ]

    @wraps(command)
    def gathered(**given: Any) -> Any:
        for name, family in families.items():
            given[name] = family(**{field: given.pop(field) for field in _fields(family)})
        return command(**given)

    gathered.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    gathered.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return gathered


def _shown(parameter: inspect.Parameter) -> list[inspect.Parameter]:
    family = parameter.annotation
    if not _is_family(family):
        return [parameter]
    kind = inspect.Parameter.KEYWORD_ONLY
    return [
        inspect.Parameter(name, kind, default=getattr(family, name), annotation=annotation)
        for name, annotation in _fields(family).items()
    ]


def _is_family(hint: Any) -> bool:
    return is_dataclass(hint) or (isinstance(hint, type) and issubclass(hint, Options))


def _fields(family: Any) -> dict[str, Any]:
    """Return the annotations of a family's fields; those of a quick command get the names of their options."""
    hints = get_type_hints(family, localns={"Annotated": Annotated, "typer": typer}, include_extras=True)
    for option, name in family.names().items() if issubclass(family, Options) else ():
        [declared] = hints[name].__metadata__
        declared.param_decls = (*(declared.param_decls or ()), option)
    return hints


def now(store: Store) -> datetime:
    """Return the time by the store's clock."""
    return to_datetime(store.clock.now())
