"""`cronq enqueue` and `cronq emit`: put jobs on the queue."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, NoReturn, cast

import typer
from typer.core import TyperCommand

from cronq.commands import options as given
from cronq.errors import InvalidInput
from cronq.model.job import COMMAND_TASK
from cronq.render.text import complain, document, write

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from cronq.app import Cronq
    from cronq.client.job_options import Options
    from cronq.model.job import Job

_ENQUEUE_EXAMPLE = """\
Example:

\b
  cronq enqueue mail.send to=ann@example.org tries:=3 'tags:=["a", "b"]'
  cronq enqueue --at +15m --group nightly -- 'pg_dump shop | gzip > shop.gz'
  cronq enqueue --queue media -- ffmpeg -i in.avi out.mp4
  cronq enqueue --after 41 --after 42 -- ./publish
  cronq enqueue --batch 7 -- ./load monday
  cronq enqueue --stdin < jobs.jsonl

k=v gives a text (converted to the type in the task's signature), k:=JSON a JSON value. After --, one
CMD is a line for /bin/sh; with ARGs it is a program that gets them as they are.
With --stdin each line is a JSON object with the keys task, args, command, cwd, queue, priority, at,
group, key, unique, max_attempts, time_limit, base, cap, jitter, limit, ref, after, after_end, after_failure,
after_missing, batch (after names ids, refs of other lines, or batch:ID); a bad line is named, and then
nothing is inserted. What ls --json prints is taken, too: new jobs like those.

Exit status: 0 done (also when a unique twin was found), 64 usage, 65 bad input or unknown
task, 69 database out of reach, 78 configuration.
"""

_EMIT_EXAMPLE = """\
Example:

\b
  cronq emit shot.start url=https://example.org

Exit status: 0 done (also without subscribers), 64 usage, 65 bad input,
69 database out of reach, 78 configuration.
"""


@dataclass(frozen=True, kw_only=True)
class Placement:
    """The options that say where and when a job runs."""

    queue: Annotated[str | None, typer.Option("--queue", metavar="QUEUE", help="Queue name (default).")] = None
    priority: Annotated[
        str | None, typer.Option("--priority", metavar="N", help="0 to 999, lower runs first (50).")
    ] = None
    at: Annotated[
        str | None,
        typer.Option(
            "--at", metavar="TIME", help="Not before: +15m, 02:30, tomorrow 02:30, or 2026-12-24T18:00:00+01:00."
        ),
    ] = None
    group: Annotated[
        str | None, typer.Option("--group", metavar="GROUP", help="One job of a group runs at a time.")
    ] = None
    key: Annotated[str | None, typer.Option("--key", metavar="KEY", help="Your own name for the job.")] = None
    unique: Annotated[
        bool, typer.Option("--unique", help="Store no second job while one with this key is unfinished.")
    ] = False
    max_attempts: Annotated[
        str | None, typer.Option("--max-attempts", metavar="N", help="Maximum number of attempts (20).")
    ] = None
    time_limit: Annotated[
        str | None, typer.Option("--time-limit", metavar="D", help="Time limit of one attempt (1h).")
    ] = None
    cwd: Annotated[
        str | None, typer.Option("--cwd", metavar="DIR", help="Directory of a CMD (that of the run or worker).")
    ] = None

    after: Annotated[
        list[str] | None,
        typer.Option("--after", metavar="ID", help="Start when it, or batch:ID, has finished. Repeatable."),
    ] = None
    after_end: Annotated[
        list[str] | None, typer.Option("--after-end", metavar="ID", help="Start when this job has ended in any way.")
    ] = None
    after_failure: Annotated[
        list[str] | None, typer.Option("--after-failure", metavar="ID", help="Start if this job fails.")
    ] = None
    after_missing: Annotated[
        str | None,
        typer.Option(
            "--after-missing", metavar="HOW", help="ignore: don't wait for a job that is gone or can't end that way."
        ),
    ] = None

    limit: Annotated[
        str | None, typer.Option("--limit", metavar="NAME", help="Under this limit of the configuration.")
    ] = None
    batch: Annotated[str | None, typer.Option("--batch", metavar="ID", help="Add it to this batch.")] = None

    def given(self) -> dict[str, Any]:
        """Return the options that were given, numbers as numbers. Raises InvalidInput."""
        chosen = {name: value for name, value in asdict(self).items() if value not in (None, False, [])}
        for name in ("priority", "max_attempts"):
            if name in chosen:
                chosen[name] = _number(chosen[name], what=f"--{name.replace('_', '-')}")
        return chosen


def _number(text: str, *, what: str) -> int:
    if not (text.isascii() and text.removeprefix("-").isdecimal() and len(text) < 10):  # noqa: PLR2004
        raise InvalidInput(f"{what}: {text!r} is not a whole number")
    return int(text)


class _WithCommand(TyperCommand):
    """A typer command that doesn't parse the words after `--`: they are a shell command with its own options."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        own = args
        if "--" in args:
            own, command = args[: args.index("--")], args[args.index("--") + 1 :]
            ctx.meta["cronq.command"] = command
        rest: list[str] = super().parse_args(ctx, own)
        return rest


Words = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="WORD",
        help="TASK, then its arguments as k=v or k:=JSON; or after -- a CMD with its ARGs.",
        show_default=False,
    ),
]
Fields = Annotated[
    list[str] | None,
    typer.Argument(metavar="FIELD", help="What happened, as k=v or k:=JSON.", show_default=False),
]
Event = Annotated[str, typer.Argument(metavar="EVENT", help="The name of the event.", show_default=False)]
Stdin = Annotated[bool, typer.Option("--stdin", help="Read jobs from stdin, one JSON object a line.")]
NoCheck = Annotated[bool, typer.Option("--no-check", help="Don't import the app, take task and arguments as they are.")]


class _Request(NamedTuple):
    """A request to enqueue a task, a command or the jobs of --stdin, with the options of the job."""

    words: Sequence[str]
    command: Sequence[str] | None
    stdin: bool
    check: bool
    cwd: str | None
    options: dict[str, Any]

    def problem(self) -> str | None:
        """Return what is contradictory or missing in the request, or None."""
        given_kinds = [bool(self.words), self.command is not None, self.stdin]
        if given_kinds.count(True) != 1:
            return "give one of: a TASK, -- and a CMD, --stdin"
        if self.command == []:
            return "a CMD is missing after --"
        if self.cwd is not None and self.command is None:
            return "--cwd is for a CMD after --"
        if self.stdin and self.options:
            return "with --stdin each line has its own options"
        return None


@given.spread
def _enqueue(
    context: typer.Context,
    words: Words = None,
    *,
    placement: Placement,
    stdin: Stdin = False,
    no_check: NoCheck = False,
    as_json: given.AsJson = False,
) -> None:
    """Put a job on the queue; prints its id.

    A job is a task with its arguments, a shell command after --, or a line of --stdin.
    """
    command = context.meta.get("cronq.command")
    options = placement.given()
    cwd = options.pop("cwd", None)
    place = None if cwd is None else os.path.abspath(cwd)  # noqa: PTH100 - Path would keep `..`
    request = _Request(words or (), command, stdin, check=not no_check, cwd=place, options=options)
    problem = request.problem()
    if problem:
        raise given.refuse(problem, context)
    with_tasks = request.check and command is None
    call = given.invocation(context)
    with call.cronq(with_tasks=with_tasks) as queue:
        jobs = _place(queue, request)
        _print(jobs, as_json=as_json, many=stdin)
    if call.verbose:
        complain(f"the database is {call.config.safe_database()}")


def _place(queue: Cronq, request: _Request) -> list[Job]:
    if request.stdin:
        return _place_lines(queue, _Lines(_utf8(sys.stdin)), check=request.check)
    if request.command is not None:
        first, *others = request.command
        words = [first, *others] if others else first
        job = queue.command(words, cwd=request.cwd, **cast("Options", request.options))
    else:
        task, *given_fields = request.words
        fields = _bound(queue, task, _fields(given_fields, after=task), check=request.check)
        job = queue.enqueue(task, fields, check=request.check, **cast("Options", request.options))
    stored = queue.get(job.id)
    return [stored._replace(existing=job.existing) if stored else job]


def _bound(queue: Cronq, task: str, fields: dict[str, Any], *, check: bool) -> dict[str, Any]:
    """Convert the fields to the types in the task's signature; without `check` or tasks they stay texts."""
    if not check or task == COMMAND_TASK or not (queue.config.app or queue.config.allow):
        return fields
    return queue.registry.resolve(task).bind_text(fields)


def _fields(words: Iterable[str], *, after: str = "") -> dict[str, Any]:
    """Parse `k=v` and `k:=JSON` into values by name. Raises InvalidInput naming the word."""
    fields: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        is_json = name.endswith(":")
        name = name.removesuffix(":")
        if not equals or not name:
            hint = f" (a command goes after --: cronq enqueue -- {after} {word})" if after else ""
            raise InvalidInput(f"{word!r} is neither k=v nor k:=JSON{hint}")
        if name in fields:
            raise InvalidInput(f"{name} is given twice")
        fields[name] = _json(text, what=name) if is_json else text
    return fields


def _json(text: str, *, what: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{what}: not JSON: {error}") from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _utf8(stream: Any) -> Iterable[str]:
    """Read a stream as UTF-8 in any locale, because JSON is UTF-8; other bytes are an error."""
    if stream is None:
        raise InvalidInput("--stdin: there is no stdin")
    stream.reconfigure(encoding="utf-8", errors="strict")
    lines: Iterable[str] = stream
    return lines


class _Lines:
    """Yields the job descriptions of JSON lines, or of one JSON array; skips empty lines."""

    def __init__(self, stream: Iterable[str]) -> None:
        self._stream = stream
        self.line = 0
        self.job = 0
        self.is_array = False

    def __iter__(self) -> Iterator[dict[str, Any]]:
        lines = iter(self._stream)
        for self.line, text in enumerate(lines, start=1):
            if not self.job and text.lstrip().startswith("["):
                self.is_array = True
                yield from self._listed("".join([text, *lines]))
            elif text.strip():
                self.job += 1
                yield self._parsed(text)

    def _parsed(self, text: str) -> dict[str, Any]:
        return _described(_json(text, what=f"line {self.line}"), where=f"line {self.line}")

    def _listed(self, text: str) -> Iterator[dict[str, Any]]:
        """Read the jobs of one JSON array, as `ls --json` prints it."""
        for self.job, spec in enumerate(_json(text, what=f"line {self.line}"), start=1):  # noqa: B020 - the same
            yield _described(spec, where=f"job {self.job}")


_LISTED = ("queue", "priority", "key", "unique", "group", "max_attempts", "time_limit")


def _described(spec: Any, *, where: str) -> dict[str, Any]:
    """Check the description of a job; convert one that `ls --json` printed to a new job like it.

    Raises InvalidInput.
    """
    if not isinstance(spec, dict):
        raise InvalidInput(f"{where}: not a JSON object")
    if "id" not in spec or "state" not in spec:
        return spec
    from cronq.tasks.serialisation import loads

    options = {name: spec[name] for name in _LISTED if spec.get(name) is not None}
    options |= spec.get("retry") or {}
    if spec["state"] == "scheduled":
        options["at"] = spec.get("available_at")
    if spec.get("command") is not None:
        return {"command": spec["command"], "args": spec.get("args"), **options}
    return {"task": spec.get("task"), "args": loads(json.dumps(spec.get("args"))), **options}


def _place_lines(queue: Cronq, lines: _Lines, *, check: bool) -> list[Job]:
    try:
        return queue.enqueue_many(lines, check=check)
    except InvalidInput as error:
        if str(error).startswith("refs: "):
            raise
        text = str(error).removeprefix(f"job {lines.job}: ")
        where = f"job {lines.job}: " if lines.is_array else f"line {lines.line}: "
        raise type(error)(where + text.removeprefix(where)) from None
    except UnicodeDecodeError as error:
        raise InvalidInput(f"line {lines.line + 1}: not UTF-8: {error.reason}") from None


def _print(jobs: Sequence[Job], *, as_json: bool, many: bool) -> None:
    if not as_json:
        write(str(job.id) for job in jobs)
        return
    objects = [{**job.to_json(), "existing": job.existing} for job in jobs]
    write([document(objects if many else objects[0])])


def _emit(context: typer.Context, event: Event, fields: Fields = None, *, as_json: given.AsJson = False) -> None:
    """Enqueue a job for each task that subscribed to an event."""
    values = _fields(fields or ())
    call = given.invocation(context)
    with call.cronq(with_tasks=True) as queue:
        jobs = queue.emit(event, **values)
    _print(jobs, as_json=as_json, many=True)
    if not jobs and not call.quiet:
        complain(f"event {event}: no task has subscribed")


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the program."""
    app.command("enqueue", cls=_WithCommand, epilog=_ENQUEUE_EXAMPLE)(_enqueue)
    app.command("emit", epilog=_EMIT_EXAMPLE)(_emit)
