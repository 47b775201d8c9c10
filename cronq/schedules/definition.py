"""Read and check the definition of a schedule, from cronq.toml or a decorator, and write it as canonical JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, replace
from datetime import date, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from cronq.config.settings import SETTINGS, TASK, Setting, choice, quoted, section
from cronq.errors import ConfigError, InvalidInput
from cronq.model.job import COMMAND_TASK, NewJob
from cronq.schedules.rule import Rule
from cronq.tasks import serialisation

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cronq.config.loader import Config

LONGEST_NAME = 200
"""The most characters in a schedule's name: with `schedule:` before it, it has to fit into a key or a group."""

_WINDOWS = {"none": 300.0, "latest": None, "all": 86400.0}
"""The default of `catch_up_window` for each `catch_up`, in seconds; None: no limit."""


@dataclass(frozen=True, kw_only=True)
class Definition:
    """The job of a schedule and its rule; durations are seconds. Made by `read`, `read_all` or `from_json`."""

    name: str
    cron: tuple[str, ...] = ()
    every: float | None = None
    task: str
    args: Mapping[str, Any]
    """The arguments by name; of a command `{"command": …, "cwd": …}`, as its job has them."""
    timezone: str = "UTC"
    queue: str | None = None
    priority: int | None = None
    group: str | None = None
    key: str | None = None
    unique: bool = False
    max_attempts: int | None = None
    time_limit: float | None = None
    jitter: float = 0.0
    catch_up: str = "latest"
    catch_up_window: float | None = None
    catch_up_max: int = 100
    overlap: str = "skip"
    start: str | None = None
    end: str | None = None
    enabled: bool = True
    alert_after: int | None = None
    was: str | None = None
    """The former name, by which a declaration renames the schedule; not stored."""
    source: str | None = None
    """The file or decorator from which it was read, for errors; not stored."""

    def rule(self) -> Rule:
        """Return the rule by which it is due. Raises ConfigError if this host doesn't know its time zone."""
        return Rule.parse(
            self.cron, self.every, timezone=self.timezone, start=_moment(self.start), end=_moment(self.end)
        )

    def job(self) -> NewJob:
        """Return the job that a due time enqueues, with the key or group that keeps its jobs from overlapping."""
        job = NewJob(
            self.task, _dumps(self.args), key=self.key, unique=self.unique, group=self.group, time_limit=self.time_limit
        )
        chosen: dict[str, Any] = {"queue": self.queue, "priority": self.priority, "max_attempts": self.max_attempts}
        job = job._replace(**{key: value for key, value in chosen.items() if value is not None})
        if self.overlap == "skip":
            return job._replace(key=f"schedule:{self.name}", unique=True)
        return job._replace(group=f"schedule:{self.name}") if self.overlap == "queue" else job

    def filled(self, template: NewJob) -> Definition:
        """Return the definition with the options of `template`, a job of the task, where the schedule sets none."""
        options = ("queue", "priority", "max_attempts", "time_limit")
        missing = {key: getattr(template, key) for key in options if getattr(self, key) is None}
        return replace(self, **missing)

    @property
    def json(self) -> str:
        """The canonical JSON: the same text for the same definition on every host, without most default values."""
        values = {key: value for key, value in asdict(self).items() if key not in _NOT_STORED}
        return _dumps({key: value for key, value in values.items() if key in _ALWAYS or value != _DEFAULTS[key]})

    @property
    def hash(self) -> str:
        """The SHA-256 hash of the canonical JSON, in hex."""
        return hash_of(self.json)

    @classmethod
    def from_json(cls, name: str, text: str) -> Definition:
        """Return the definition that was stored as JSON. Raises ConfigError if this version of cronq can't read it."""
        try:
            given = json.loads(text)
            values = {key: _stored(name, key, value) for key, value in given.items() if value is not None}
            return cls(name=name, **values)
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            message = f"schedule {name!r}: expected a definition that this version of cronq understands: {error}"
            raise ConfigError(message) from None


_NOT_STORED = ("name", "was", "source")
_ALWAYS = ("task", "args", "timezone", "catch_up_window")
_DEFAULTS = {field.name: field.default for field in fields(Definition)}


def hash_of(text: str) -> str:
    """Return the SHA-256 hash of a definition's canonical JSON, in hex."""
    return sha256(text.encode()).hexdigest()


def read_all(config: Config) -> list[Definition]:
    """Return the schedules of the configuration by name. Raises ConfigError naming file, key and expectation."""
    return [read_one(config, name) for name in sorted(config.schedules)]


def read_one(config: Config, name: str) -> Definition:
    """Return one schedule of the configuration. Raises ConfigError naming file, key and expectation."""
    where = config.origins["schedules"].removeprefix("file ")
    return read(name, config.schedules[name], where=where, timezone=config.timezone)


def read(name: str, table: Mapping[str, object], *, where: str, timezone: str = "UTC") -> Definition:
    """Check one schedule, given by the keys that its table in cronq.toml may have.

    `timezone` is used if the table has none. Raises ConfigError naming `where`, key and expectation.
    """
    within = f"schedules.{quoted(name)}"
    _NAME.convert(name, key=within, where=where)
    values: dict[str, Any] = section(table, KEYS, within=within, where=where)
    try:
        definition = _made(name, values, timezone)
        require_sense(definition)
    except ConfigError as error:
        raise ConfigError(f"{where}: {within}: {error}") from None
    return replace(definition, source=where)


def require_sense(definition: Definition) -> None:
    """Raise ConfigError for a definition that contradicts itself, or whose rule is missing, wrong or never due."""
    for problem, is_there in _contradictions(definition):
        if is_there:
            raise ConfigError(problem)
    definition.rule()


def unite(*groups: Iterable[Definition]) -> list[Definition]:
    """Return the definitions of all sources of one host by name. Raises ConfigError for a name declared twice."""
    found: dict[str, Definition] = {}
    for definition in (one for group in groups for one in group):
        twin = found.setdefault(definition.name, definition)
        if twin is not definition:
            raise ConfigError(
                f"{definition.source}: schedules.{quoted(definition.name)}: expected one schedule of this name,"
                f" {twin.source} declares it too; name= gives it another one"
            )
    return [found[name] for name in sorted(found)]


def _made(name: str, values: dict[str, Any], timezone: str) -> Definition:
    work = _work(name, {key: values.pop(key) for key in ("task", "args", "command", "cwd") if key in values})
    definition = Definition(**{"name": name, "timezone": timezone, **values, **work})
    if "catch_up_window" not in values:
        definition = replace(definition, catch_up_window=_WINDOWS[definition.catch_up])
    if definition.catch_up == "all" and "overlap" not in values:
        # With "skip", the first of the jobs that catch up would keep all others from being enqueued.
        definition = replace(definition, overlap="queue")
    return definition


def _work(name: str, given: dict[str, Any]) -> dict[str, Any]:
    if "command" not in given:
        if "cwd" in given:
            raise ConfigError("cwd: expected a command beside it, only a command has one")
        return {"task": given.get("task", name), "args": given.get("args", {})}
    if given.keys() & {"task", "args"}:
        raise ConfigError("command: expected either a command, or a task with its args; a command has its own")
    return {"task": COMMAND_TASK, "args": given}


def _contradictions(one: Definition) -> list[tuple[str, bool]]:
    return [
        ("cron: expected an expression, or a duration as every", not one.cron and one.every is None),
        ("every: expected either cron or every", bool(one.cron) and one.every is not None),
        (
            'catch_up: expected overlap = "queue" or "allow" beside "all": with "skip" one job keeps all others out',
            one.catch_up == "all" and one.overlap == "skip",
        ),
        (
            'unique: expected overlap = "queue" or "allow" beside a key of its own: "skip" is a unique key itself',
            one.overlap == "skip" and (one.unique or one.key is not None),
        ),
        ("unique: expected a key beside it", one.unique and one.key is None),
        (
            'group: expected overlap = "skip" or "allow" beside a group of its own: "queue" is a group itself',
            one.overlap == "queue" and one.group is not None,
        ),
        ("was: expected its former name, this is its own", one.was == one.name),
    ]


def _dumps(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _stored(name: str, key: str, value: object) -> Any:
    """Check and convert a stored value: a row that was damaged or written by hand must not stop other schedules."""
    if key == "args":
        _dumps(_table(value)).encode()
        return value
    if key not in KEYS:
        raise ValueError(f"the key {key!r} is not known")
    return KEYS[key].convert(value, key=key, where=f"schedule {name!r}")


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _moment_in(value: object) -> str:
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    if isinstance(value, datetime):
        return value.isoformat()
    raise ValueError


def _label(value: object) -> str:
    fits = isinstance(value, str) and 0 < len(value) <= LONGEST_NAME and value.isprintable() and value == value.strip()
    if not isinstance(value, str) or not fits:
        raise ValueError
    return value


def _crons(value: object) -> tuple[str, ...]:
    expressions = (value,) if isinstance(value, str) else value
    if not isinstance(expressions, list | tuple) or not expressions:
        raise ValueError
    if not all(isinstance(one, str) for one in expressions):
        raise ValueError
    return tuple(" ".join(one.split()) for one in expressions)


def _arguments(value: object) -> Any:
    try:
        return json.loads(serialisation.dumps(_table(value)))
    except InvalidInput as error:
        raise ValueError(str(error)) from None


def _directory(value: object) -> str:
    if isinstance(value, str) and value.startswith("/") and "\0" not in value:
        return value
    raise ValueError


def _table(value: object) -> dict[str, object]:
    if isinstance(value, dict):
        return value
    raise ValueError


_NAME = Setting(f"a name of 1 to {LONGEST_NAME} printable characters", _label)
_MOMENT = Setting("a time such as 2026-12-01T00:00, in the schedule's zone", _moment_in)

KEYS: dict[str, Setting] = {
    "cron": Setting("an expression such as '30 2 * * *', or an array of them", _crons),
    "every": SETTINGS["time_limit"],
    "task": _NAME,
    "command": Setting(SETTINGS["notify_command"].expected, SETTINGS["notify_command"].check),
    "cwd": Setting("the absolute path of a directory", _directory),
    "args": Setting("a table of arguments by name", _arguments, secret=True),
    "timezone": SETTINGS["timezone"],
    "queue": TASK["queue"],
    "priority": TASK["priority"],
    "group": _NAME,
    "key": _NAME,
    "unique": SETTINGS["commands"],
    "max_attempts": TASK["max_attempts"],
    "time_limit": TASK["time_limit"],
    "jitter": TASK["base"],
    "catch_up": choice(*_WINDOWS),
    "catch_up_window": SETTINGS["time_limit"],
    "catch_up_max": TASK["max_attempts"],
    "overlap": choice("skip", "queue", "allow"),
    "start": _MOMENT,
    "end": _MOMENT,
    "enabled": SETTINGS["commands"],
    "was": _NAME,
    "alert_after": TASK["max_attempts"],
}
"""The keys of [schedules."name"]."""
