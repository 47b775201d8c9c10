"""Define the objects that decorators return: a task that is still callable, with `enqueue` and `using`."""

from __future__ import annotations

from functools import update_wrapper
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Protocol, TypeVar, Unpack, overload

from cronq.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable

    from cronq.client.enqueueing import Enqueuer
    from cronq.client.job_options import Options
    from cronq.model.job import Job, NewJob
    from cronq.tasks.registry import Task

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class Performing(Protocol[P, R_co]):
    """An instance of a class that is a task."""

    def perform(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Do the work of one job."""


class Bound(Generic[P]):
    """A task with options, ready to be enqueued any number of times."""

    def __init__(self, enqueuer: Enqueuer, task: Task, connection: Any, options: Options) -> None:
        self._enqueuer = enqueuer
        self._task = task
        self._connection = connection
        self._options = options
        enqueuer.check_options(task.name, options)

    def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> Job:
        """Enqueue one job with these arguments. Raises InvalidInput if they don't fit."""
        return self._enqueuer.enqueue(self._prepare(args, kwargs), self._connection)

    async def aenqueue(self, *args: P.args, **kwargs: P.kwargs) -> Job:
        """As `enqueue`, without blocking the event loop; `connection` is an AsyncConnection or AsyncSession."""
        calls = self._enqueuer.calls
        job = await calls.prepare(self._connection, self._prepare, args, kwargs)
        return (await calls.enqueue_all((job,), self._connection))[0]

    def job(self, *args: P.args, **kwargs: P.kwargs) -> NewJob:
        """Make a job for `enqueue_many`. Raises InvalidInput if the arguments don't fit, or with a `connection`."""
        if self._connection is not None:
            raise InvalidInput("connection: give it to enqueue_many, all its jobs go through one")
        return self._prepare(args, kwargs)

    def _prepare(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> NewJob:
        template = self._enqueuer.template(self._task.name)
        return self._enqueuer.customise(template, self._task.bind(args, kwargs), self._options)


class Enqueueable(Generic[P]):
    """A task that can be enqueued; `name` is the name of the task in its jobs."""

    def __init__(self, enqueuer: Enqueuer, task: Task) -> None:
        self._enqueuer = enqueuer
        self._task = task
        self.name = task.name

    def __repr__(self) -> str:
        return f"<task {self.name}>"

    def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> Job:
        """Enqueue one job with these arguments. Raises InvalidInput if they don't fit."""
        return self._enqueuer.enqueue(self._prepare(args, kwargs))

    async def aenqueue(self, *args: P.args, **kwargs: P.kwargs) -> Job:
        """As `enqueue`, without blocking the event loop."""
        return await self._enqueuer.calls.make(lambda: self._enqueuer.enqueue(self._prepare(args, kwargs)))

    def job(self, *args: P.args, **kwargs: P.kwargs) -> NewJob:
        """Make a job for `enqueue_many`. Raises InvalidInput if the arguments don't fit."""
        return self._prepare(args, kwargs)

    def using(self, *, connection: Any = None, **options: Unpack[Options]) -> Bound[P]:
        """Return the task with options for its jobs: `send.using(at="+1h", group="g").enqueue(…)`.

        A delay counts from each `enqueue`. `connection` is a SQLAlchemy Connection or Session
        in whose transaction the jobs are enqueued. Raises InvalidInput naming a bad option.
        """
        return Bound(self._enqueuer, self._task, connection, options)

    def _prepare(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> NewJob:
        return self._enqueuer.plain(self._task, args, kwargs)


class FunctionTask(Enqueueable[P], Generic[P, R]):
    """A function that is a task; calling it runs the function in this process."""

    def __init__(self, enqueuer: Enqueuer, task: Task, function: Callable[P, R]) -> None:
        super().__init__(enqueuer, task)
        self._function = function
        update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the function in this process."""
        return self._function(*args, **kwargs)


class ClassTask(Enqueueable[P], Generic[P, R]):
    """A class that is a task; instantiation, subclasses and `isinstance` work as before."""

    def __init__(self, enqueuer: Enqueuer, task: Task, kind: type[R]) -> None:
        super().__init__(enqueuer, task)
        self._kind = kind
        update_wrapper(self, kind, updated=())

    def __call__(self, *args: Any, **kwargs: Any) -> R:
        """Make an object of the class."""
        return self._kind(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name == "_kind":
            raise AttributeError(name)
        return getattr(self._kind, name)

    def __instancecheck__(self, instance: object) -> bool:
        return isinstance(instance, self._kind)

    def __mro_entries__(self, bases: tuple[object, ...]) -> tuple[type, ...]:
        return (self._kind,)


class Later:
    """Unregistered callables by name: `queue.later["shop.mailer:Mailer"].send(to="…")`."""

    def __init__(self, enqueuer: Enqueuer) -> None:
        self._enqueuer = enqueuer

    def __getitem__(self, target: str) -> Callables:
        return Callables(self._enqueuer, target)


class Callables:
    """The methods of a class, or the functions of a module, each of which enqueues when called."""

    def __init__(self, enqueuer: Enqueuer, target: str) -> None:
        self._enqueuer = enqueuer
        self._target = target

    def __getattr__(self, name: str) -> Callable[..., Job]:
        if name.startswith("_"):
            raise AttributeError(name)
        full_name = f"{self._target}{'.' if ':' in self._target else ':'}{name}"

        def enqueue(*args: Any, **kwargs: Any) -> Job:
            arguments = self._enqueuer.registry.resolve(full_name).bind(args, kwargs)
            return self._enqueuer.enqueue(self._enqueuer.customise(self._enqueuer.template(full_name), arguments, {}))

        return enqueue


class Decorator(Protocol):
    """The decorator that `queue.task(…)` returns: takes a function, or a class with `perform`."""

    @overload
    def __call__(  # type: ignore[overload-overlap]  # a class is callable too: the first one is meant
        self, target: type[Performing[P, Any]], /
    ) -> ClassTask[P, Any]: ...
    @overload
    def __call__(self, target: Callable[P, R], /) -> FunctionTask[P, R]: ...
