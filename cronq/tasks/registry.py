"""Register the tasks of a process, and import others under allowed prefixes."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING

from cronq.errors import ConfigError, Fail, InvalidInput, UnknownTask
from cronq.model.job import COMMAND_TASK
from cronq.tasks import callables, declaration, event_patterns
from cronq.tasks.annotations import MisfitError
from cronq.tasks.callables import Target
from cronq.tasks.parameters import Parameters

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Protocol

    from cronq.client.batches import Batch
    from cronq.tasks.declaration import TaskDeclaration

    class Binds(Protocol):
        """Converts the arguments of a call to those of a row, and back, as `Parameters` does."""

        def bind(self, args: Sequence[object], kwargs: Mapping[str, object]) -> dict[str, object]:
            """Return the arguments by name."""

        def bind_stored(self, args: Sequence[object], kwargs: Mapping[str, object]) -> str:
            """Return the arguments by name as JSON."""

        def bind_text(self, fields: Mapping[str, object]) -> dict[str, object]:
            """Convert a shell's strings to arguments by name."""

        def spread(self, arguments: Mapping[str, object]) -> tuple[Sequence[object], dict[str, object]]:
            """Convert stored arguments for the call: positional ones and keywords."""

        def cut(self, fields: Mapping[str, object]) -> dict[str, object]:
            """Return the fields that have a parameter."""

        def describe(self) -> str:
            """Write the parameters as in source code."""


HOOKS = ("before_job", "after_job", "on_error", "job_metadata", "on_notify", "on_child_start", "around_job",
         "around_child")  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOptions:
    """The options of a task's jobs; durations in seconds, None means not set here."""

    queue: str | None = None
    priority: int | None = None
    max_attempts: int | None = None
    time_limit: float | None = None
    base: float | None = None
    cap: float | None = None
    jitter: float | None = None
    on_crash: str | None = None
    crash_limit: int | None = None
    group_on_failed: str | None = None
    results: str | None = None
    notify_after: int | None = None
    limit: str | None = None

    def over(self, fallback: TaskOptions) -> TaskOptions:
        """Return these options, with those of `fallback` where they are not set."""
        names = [field.name for field in fields(self)]
        own = {name: value for name in names if (value := getattr(self, name)) is not None}
        return TaskOptions(**{**{name: getattr(fallback, name) for name in names}, **own})


_NO_OPTIONS = TaskOptions()


class Task:
    """A named callable with options; binds arguments and calls it.

    The target is a function, a class with `perform` (and optionally `before` and `after`), or the
    result of `callables.load`. Raises ConfigError for anything else, and for a bad name.
    """

    def __init__(
        self,
        name: str,
        target: Callable[..., object] | type | Target,
        options: TaskOptions = _NO_OPTIONS,
        *,
        parameters: Binds | None = None,
    ) -> None:
        """`parameters` replace those in the target's signature."""
        if not name or name == COMMAND_TASK or not name.isprintable() or " " in name:
            raise ConfigError(f"task name {name!r}: expected a word like mail.send, and not {COMMAND_TASK!r}")
        self.name = name
        self.options = options
        self.target = target if isinstance(target, Target) else callables.of(target)
        if parameters is not None:
            self.parameters = parameters

    def __repr__(self) -> str:
        return f"Task({self.name!r}, {self.target.place})"

    @cached_property
    def parameters(self) -> Binds:
        """The parameters, read from the signature at first need."""
        return Parameters(self.target.function, skip=0 if self.target.owner is None else 1)

    def bind(self, args: Sequence[object], kwargs: Mapping[str, object]) -> dict[str, object]:
        """Return the arguments by parameter name, as they are stored.

        `*args` are stored under their parameter's name as a tuple, `**kwargs` under their own.
        Raises InvalidInput, naming task, argument and signature, when they don't fit.
        """
        try:
            return self.parameters.bind(args, kwargs)
        except MisfitError as error:
            raise InvalidInput(self._complaint(error)) from None

    def bind_stored(self, args: Sequence[object], kwargs: Mapping[str, object]) -> str:
        """As `bind`, but returns JSON."""
        try:
            return self.parameters.bind_stored(args, kwargs)
        except MisfitError as error:
            raise InvalidInput(self._complaint(error)) from None

    def bind_text(self, fields: Mapping[str, object]) -> dict[str, object]:
        """As `bind`, for strings from a shell, which are converted to their annotations' types."""
        try:
            return self.parameters.bind_text(fields)
        except MisfitError as error:
            raise InvalidInput(self._complaint(error)) from None

    def accepts(self, fields: Mapping[str, object]) -> dict[str, object]:
        """Return the fields of an event that the task has parameters for: all of them with `**kwargs`.

        Raises InvalidInput if a required one is missing, or one doesn't fit.
        """
        return self.bind((), self.parameters.cut(fields))

    def call(self, arguments: Mapping[str, object], warn: Callable[[str], object] = lambda _: None) -> object:
        """Convert stored arguments and call the task; returns its result, or a coroutine that is to be run for it.

        Raises Fail if the arguments don't fit the signature any more, and what the task raises.
        `warn` is called with the text of an error in `after`, which doesn't undo the work.
        """
        try:
            args, kwargs = self.parameters.spread(arguments)
        except MisfitError as error:
            raise Fail(self._complaint(error)) from None
        return self.target.run(args, kwargs, warn)

    def _complaint(self, error: MisfitError) -> str:
        return f"{self.name}: {error}; takes {self.parameters.describe()}"


class Registry:
    """Tasks by name, subscriptions and hooks.

    `allow` holds the prefixes under which `module:Qual.name` is a task without being
    registered; `source` says in errors where the registered ones come from.
    """

    def __init__(self, allow: Sequence[str] = (), *, source: str = "") -> None:
        self.allow = tuple(allow)
        self.source = source
        self.hooks: dict[str, list[Callable[..., object]]] = {hook: [] for hook in HOOKS}
        self.worker: str | None = None
        """The name of the worker for which this process runs jobs; None if there is none."""
        self.batch_of: Callable[[int], Batch | None] | None = None
        """Finds the batch of the job with this id, for `current_job().batch`."""
        self._tasks: dict[str, Task] = {}
        self._declared: dict[str, TaskDeclaration] = {}
        self._imported: dict[str, Task] = {}
        self._subscriptions: list[tuple[str, str]] = []

    def add(self, task: Task) -> Task:
        """Register a task. Raises ConfigError if its name belongs to another callable.

        The same callable from a module that was loaded again replaces the first one.
        """
        declared = declaration.here()
        known = self._tasks.get(task.name)
        if known and not known.target.is_same(task.target):
            self._require_reload(known, task, declared)
        self._tasks[task.name] = task
        self._declared[task.name] = declared
        return task

    def _require_reload(self, known: Task, task: Task, declared: TaskDeclaration) -> None:
        before = self._declared[task.name]
        if before.is_again(declared) and known.target.reads_like(task.target):
            return
        places = " and ".join(
            f"{one.target.place}, declared at {where.line}" for one, where in ((known, before), (task, declared))
        )
        hint = "; give each a name=, or its decorator functools.wraps" if "<" in task.target.place else ""
        raise ConfigError(f"two tasks are named {task.name!r}: {places}{hint}")

    def get(self, name: str) -> Task | None:
        """Return the task registered under this name, None if there is none."""
        return self._tasks.get(name)

    def names(self) -> list[str]:
        """Return the registered names, in order of registration."""
        return list(self._tasks)

    def resolve(self, name: str) -> Task:
        """Return the task of this name, imported if necessary.

        Raises UnknownTask if there is none, and the errors of importing its module.
        """
        task = self._tasks.get(name) or self._imported.get(name)
        if task is None:
            if not callables.is_importable_name(name) or not callables.is_allowed(name, self.allow):
                raise UnknownTask(self._unknown(name))
            task = self._imported[name] = Task(name, callables.load(name, self.allow))
        return task

    def subscribe(self, pattern: str, task: Task) -> None:
        """Subscribe a registered task to events that fit the pattern. Raises ConfigError."""
        event_patterns.check_pattern(pattern)
        self._subscriptions.append((pattern, task.name))

    def subscribers(self, event: str, config_events: Mapping[str, Sequence[str]]) -> list[Task]:
        """Return the subscribers of an event, each once: subscribed tasks, then those of the config.

        Raises InvalidInput for a wrong event's name, UnknownTask for an unknown task in the config.
        """
        event_patterns.check_event(event)
        configured = [(pattern, name) for pattern, names in config_events.items() for name in names]
        subscriptions = self._subscriptions + configured
        wanted = dict.fromkeys(name for pattern, name in subscriptions if event_patterns.matches(pattern, event))
        return [self.resolve(name) for name in wanted]

    def _unknown(self, name: str) -> str:
        from difflib import get_close_matches

        close = get_close_matches(name, self._tasks, n=1)
        hint = f", did you mean {close[0]!r}? Tasks" if close else "; tasks"
        places = [self.source or 'the app (app = "module:attribute" in the config)', *self.allow]
        return f"unknown task {name!r}{hint} come from {' and '.join(places)}"
