"""Check a job's options and arguments, make the new job, and make the Job that the caller receives."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any, TypedDict

from cronq.client.batch_ids import batch_id
from cronq.config.settings import SETTINGS, TASK, Setting
from cronq.errors import ConfigError, InvalidInput
from cronq.model.after import AFTER_OPTIONS, REF
from cronq.model.job import COMMAND_TASK, Job, NewJob
from cronq.tasks.registry import TaskOptions
from cronq.times import parse_when, to_datetime

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime, timedelta

    from cronq.client.batch_ids import BatchReference
    from cronq.config.loader import Config
    from cronq.model.dependencies import After
    from cronq.model.job import Enqueued

    Earlier = int | str | Job | BatchReference | Sequence[int | str | Job | BatchReference] | None
    """Jobs or their ids, and batches or `"batch:7"`."""


LONGEST_NAME = 255
"""The most characters in a task's name, a key or a group."""

_RETRY = ("base", "cap", "jitter")

SPEC_KEYS = (
    *("task", "args", "command", "cwd", "queue", "priority", "at", "group", "key", "unique"),
    *("max_attempts", "time_limit", *_RETRY, "limit"),
    *(REF, *AFTER_OPTIONS, "batch"),
)
"""The keys of a job in `enqueue_many` and `cronq enqueue --stdin`."""


_TASK_AND_ARGS = {"task", "args"}

LIMIT = "limit"
"""The option whose value is resolved with the job's arguments."""


class Options(TypedDict, total=False):
    """The options of one job. A missing one or None comes from the task, then the config.

    `at` is a time (datetime, or text in ISO 8601; without an offset UTC) or a delay from now
    (`"+1h"`, timedelta, seconds); `time_limit`, `base` and `cap` are durations (seconds, `"15m"`).
    The job starts when those of `after` have finished, of `after_end` have ended, and of `after_failure` have failed.
    A job there that can't fulfil this any more is refused; with `after_missing="ignore"` it counts as fulfilled.
    The job becomes a member of `batch`. `limit` is the name of a limit that the config defines.
    """

    queue: str | None
    priority: int | None
    at: str | float | datetime | timedelta | None
    group: str | None
    key: str | None
    unique: bool | None
    max_attempts: int | None
    time_limit: str | float | timedelta | None
    base: str | float | timedelta | None
    cap: str | float | timedelta | None
    jitter: float | None
    after: Earlier
    after_end: Earlier
    after_failure: Earlier
    after_missing: str | None
    batch: int | str | BatchReference | None
    limit: str | None


class Declared(TypedDict, total=False):
    """The options of a task's decorator: defaults that the config and the caller override."""

    queue: str
    priority: int
    max_attempts: int
    time_limit: str | float | timedelta
    base: str | float | timedelta
    cap: str | float | timedelta
    jitter: float
    on_crash: str
    crash_limit: int
    group_on_failed: str
    results: str
    notify_after: int
    limit: str


def declared(options: Mapping[str, Any], *, where: str) -> TaskOptions:
    """Check the options of a decorator. Raises ConfigError naming the task and the option."""
    unknown = [option for option in options if option not in TASK]
    if unknown:
        raise ConfigError(f"{where}: unknown option {unknown[0]!r}, known are name, {', '.join(TASK)}")
    given = {option: value for option, value in options.items() if value is not None}
    checked: dict[str, Any] = {
        option: TASK[option].convert(value, key=option, where=where) for option, value in given.items()
    }
    return TaskOptions(**checked)


def limit_of(name: str, declared: TaskOptions | None, config: Config) -> object:
    """Return the limit of this task's jobs as it is written; the one of [tasks] in the config comes first."""
    return config.tasks.get(name, {}).get("limit", getattr(declared, "limit", None))


def template(name: str, declared: TaskOptions | None, config: Config) -> NewJob:
    """Make a job of this task without arguments; options of [tasks] in the config come first, then the task's."""
    overrides = config.tasks.get(name, {})

    def pick(option: str, fallback: Any) -> Any:
        value = overrides.get(option, getattr(declared, option, None))
        return fallback if value is None else value

    plain = NewJob(name)
    return plain._replace(
        queue=pick("queue", plain.queue),
        priority=pick("priority", plain.priority),
        max_attempts=pick("max_attempts", config.retry.max_attempts),
        time_limit=pick("time_limit", None),
    )


def customise(job: NewJob, options: Mapping[str, Any], *, now: int) -> NewJob:
    """Add the caller's options to a job. Raises InvalidInput naming the option."""
    given = {option: value for option, value in options.items() if value is not None and option != LIMIT}
    after = () if given.keys().isdisjoint(AFTER_OPTIONS) else _after(given)
    batch = given.pop("batch", None)
    fields = {option: _convert(option, value, now) for option, value in given.items()}
    if after:
        fields["after"] = after
    if batch is not None:
        fields["batch"] = batch_id(batch, "batch")
    policy = {option: fields.pop(option) for option in _RETRY if option in fields}
    if policy:
        fields["retry"] = json.dumps(policy)
    if "at" in fields:
        fields["available_at"] = fields.pop("at")
    changed = job._replace(**fields)
    if changed.unique and changed.key is None:
        raise InvalidInput("unique: a job can only be unique by its key, and it has none")
    return changed


def _after(options: dict[str, Any]) -> tuple[After, ...]:
    from cronq.client.after import taken  # here, not above: most jobs come after none

    return taken(options)


def options_of(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Take the options from a dict that describes a job. Raises InvalidInput for wrong keys."""
    if not isinstance(spec, dict):
        raise InvalidInput(f"expected an object with the keys {', '.join(SPEC_KEYS)}")
    if spec.keys() == _TASK_AND_ARGS:
        return {}
    unknown = [key for key in spec if key not in SPEC_KEYS]
    if unknown:
        raise InvalidInput(f"unknown key {unknown[0]!r}, known are {', '.join(SPEC_KEYS)}")
    if ("task" in spec) == ("command" in spec):
        raise InvalidInput("a job needs either `task` or `command`")
    if "command" in spec and (spec.get("args") or {}).keys() - {"cwd"}:
        raise InvalidInput("a command has its arguments in `command`, not in `args`")
    if "task" in spec and "cwd" in spec:
        raise InvalidInput("cwd: only a command has one")
    return {key: spec[key] for key in spec if key not in ("task", "args", "command", "cwd")}


LONGEST_ARGUMENT = 131_071
"""The most bytes in one argument of a program on Linux; a command for the shell is one argument."""


def task_name(name: object) -> str:
    """Check the name of a task and return it. Raises InvalidInput if it isn't valid."""
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
        raise InvalidInput(f"task: expected a name of 1 to {LONGEST_NAME} printable characters: got {name!r}")
    return name


def arguments(args: object) -> dict[str, Any]:
    """Return the arguments by name, none for None. Raises InvalidInput for anything but a dict."""
    if args is None:
        return {}
    if not isinstance(args, dict):
        raise InvalidInput(f"args: expected an object of arguments by name: got {args!r}")
    return args


def command_line(command: object) -> str | list[str]:
    """Return the command as it is stored: text for the shell, or a list of program and arguments.

    Raises InvalidInput for anything else, and for a command that no process can be started with.
    """
    if isinstance(command, str) and command.strip():
        _require_startable([command])
        return command
    if isinstance(command, list | tuple) and command and all(isinstance(part, str) for part in command):
        _require_startable(command)
        return list(command)
    raise InvalidInput("command: expected text for the shell, or a list of texts: program and arguments")


def working_directory(path: object) -> str:
    """Check the directory of a command and return it. Raises InvalidInput unless it is an absolute path."""
    if not isinstance(path, str) or not path.startswith("/") or "\0" in path:
        raise InvalidInput(f"cwd: expected the absolute path of a directory: got {path!r}")
    return path


def _require_startable(arguments: Sequence[str]) -> None:
    if any("\0" in argument for argument in arguments):
        raise InvalidInput("command: a NUL can't be in an argument of a program")
    longest = max(len(argument.encode("utf-8", "replace")) for argument in arguments)
    if longest > LONGEST_ARGUMENT:
        problem = f"an argument of {longest} bytes, Linux takes at most {LONGEST_ARGUMENT}"
        raise InvalidInput(f"command: {problem}; put it into a file, or make a task of it")


def accepted(job: NewJob, enqueued: Enqueued, *, now: int) -> Job:
    """Make the Job that the caller receives, without reading it from the database."""
    return Job.known_later(enqueued.id, partial(_fields, job, enqueued, now))


def _fields(job: NewJob, enqueued: Enqueued, now: int) -> dict[str, Any]:
    due = now if job.available_at is None else job.available_at
    args = json.loads(job.args)
    given = {field: value for field, value in job._asdict().items() if field in Job._fields}
    return given | {
        "id": enqueued.id,
        "command": args.pop("command", None) if job.task == COMMAND_TASK else None,
        "args": args,
        "state": "pending" if job.after or (job.limit and due <= now) else "scheduled" if due > now else "ready",
        "attempt": 0,
        "snoozes": 0,
        "crashes": 0,
        "created_at": to_datetime(now),
        "available_at": to_datetime(due),
        "retry": None if job.retry is None else json.loads(job.retry),
        "notes": None,
        "existing": enqueued.existing,
    }


def _convert(option: str, value: Any, now: int) -> Any:
    if option == "at":
        return _instant(value, now)
    setting = _OPTIONS.get(option)
    if setting is None:
        raise InvalidInput(
            f"unknown option {option!r}, known are {', '.join(('at', *_OPTIONS, LIMIT, *AFTER_OPTIONS, 'batch'))}"
        )
    try:
        return setting.check(value)
    except ValueError as error:
        problem = str(error) or f"got {value!r}"
        raise InvalidInput(f"{option}: expected {setting.expected}: {problem}") from None


def _instant(value: Any, now: int) -> int:
    try:
        return parse_when(value, now=now)
    except (TypeError, AttributeError):
        raise InvalidInput(f"at: {value!r} is neither a time nor a delay") from None


def _name(value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_NAME or "\0" in value:
        raise ValueError
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError(f"not valid UTF-8: {value!a}")
    return value


_NAME = Setting(f"a text of 1 to {LONGEST_NAME} characters", _name)
_OPTIONS = {
    **{option: TASK[option] for option in ("queue", "priority", "max_attempts", "time_limit", *_RETRY)},
    "group": _NAME,
    "key": _NAME,
    "unique": Setting("true or false", SETTINGS["commands"].check),
}
