"""What a task runs: a function, a class with `perform`, or a method found by its importable name."""

from __future__ import annotations

import importlib
import inspect
from contextlib import closing
from types import CoroutineType, FunctionType
from typing import TYPE_CHECKING, NamedTuple, cast

from cronq.errors import ConfigError, TimeLimitExceeded, UnknownTask

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    Function = Callable[..., object]
    Warn = Callable[[str], object]


class Target(NamedTuple):
    """A callable and how to call it."""

    function: Function
    owner: type | None = None
    """Made without arguments for each attempt; the function is its method then."""
    has_steps: bool = False
    """Whether `before` and `after` of the owner belong to it."""

    @property
    def place(self) -> str:
        """Where it is defined: `shop.jobs.send_mail (/srv/shop/jobs.py:12)`."""
        return f"{self._named.__module__}.{self._named.__qualname__} ({self._line})"

    def is_same(self, other: Target) -> bool:
        """Whether both are one definition, perhaps read once more because its module was loaded twice."""
        return (self._line, self._named.__qualname__) == (other._line, other._named.__qualname__)

    @property
    def _named(self) -> type | Function:
        return self.owner if self.owner and self.has_steps else self._defined

    @property
    def _defined(self) -> Function:
        function = inspect.unwrap(self.function)
        return cast("Function", getattr(function, "__func__", function))

    @property
    def _line(self) -> str:
        code = getattr(self._defined, "__code__", None)
        return f"{code.co_filename}:{code.co_firstlineno}" if code else "built in"

    def run(self, args: Sequence[object], kwargs: dict[str, object], warn: Warn) -> object:
        """Call it, an `async def` included; `warn` is told of an error in `after`."""
        if self.owner is None:
            result = self.function(*args, **kwargs)
            return _awaited(result) if type(result) is CoroutineType else result
        with closing(_Loop()) as loop:
            return self._run_on(self.owner(), loop, (args, kwargs), warn)

    def _run_on(
        self, instance: object, loop: _Loop, arguments: tuple[Sequence[object], dict[str, object]], warn: Warn
    ) -> object:
        args, kwargs = arguments
        if self.has_steps:
            loop.finish(_step(instance, "before"))
        result = loop.finish(self.function(instance, *args, **kwargs))
        if self.has_steps:
            _run_after(instance, loop, warn)
        return result


class _Loop:
    """One event loop for all the async steps of an attempt, made when the first one needs it."""

    def __init__(self) -> None:
        self._runner: asyncio.Runner | None = None

    def finish(self, result: object) -> object:
        if type(result) is not CoroutineType:
            return result
        if self._runner is None:
            from asyncio import Runner

            self._runner = Runner()
        return self._runner.run(result)

    def close(self) -> None:
        if self._runner is not None:
            self._runner.close()


def _awaited(coroutine: CoroutineType[object, object, object]) -> object:
    import asyncio

    return asyncio.run(coroutine)


def _step(instance: object, name: str) -> object:
    step = getattr(instance, name, None)
    return step() if step else None


def _run_after(instance: object, loop: _Loop, warn: Warn) -> None:
    try:
        loop.finish(_step(instance, "after"))
    except (Exception, TimeLimitExceeded) as error:  # the work is done: don't run it again
        warn(f"after: {type(error).__name__}: {error}")


def of(target: Function | type) -> Target:
    """The target in a function or a class with `perform`. Raises ConfigError for anything else."""
    found = _of_class(target) if isinstance(target, type) else Target(target)
    if not callable(found.function):
        raise ConfigError(f"{target!r} is not a function or a class with a method perform")
    if inspect.isgeneratorfunction(found.function) or inspect.isasyncgenfunction(found.function):
        raise ConfigError(f"{found.place} is a generator: calling it would do nothing")
    return found


def _of_class(owner: type) -> Target:
    perform = inspect.getattr_static(owner, "perform", None)
    if not isinstance(perform, FunctionType):
        raise ConfigError(f"class {owner.__module__}.{owner.__qualname__} has no method perform")
    found = Target(perform, owner, has_steps=True)
    if _needs_arguments(owner):
        raise ConfigError(f"{found.place}: its class can't be made without arguments")
    return found


def _needs_arguments(owner: type) -> bool:
    try:
        inspect.signature(owner).bind()
    except TypeError:
        return True
    except ValueError:  # made by C code that doesn't say
        return False
    return False


def is_allowed(name: str, allow: Sequence[str]) -> bool:
    """Whether `module:Qual.name` lies under one of the prefixes, matched at whole words only."""
    return any(name == prefix or name.startswith((f"{prefix}.", f"{prefix}:")) for prefix in allow)


def is_importable_name(name: str) -> bool:
    """Whether this reads `module:Qual.name` with no part that is private."""
    module, _, path = name.partition(":")
    parts = [*module.split("."), *path.split(".")]
    return all(part.isidentifier() and not part.startswith("_") for part in parts)


def load(name: str, allow: Sequence[str]) -> Target:
    """The function, or the method of a class, that `module:Qual.name` stands for.

    What the module merely imported from a place that isn't allowed doesn't count. Raises
    UnknownTask when there is no such thing; errors inside the module pass through.
    """
    module_name, _, path = name.partition(":")
    module = _imported(module_name, name)
    owner: type | None = None
    found: object = module
    for part in path.split("."):
        owner = found if isinstance(found, type) else None
        found = _member(found, part, name)
        if owner is None or isinstance(found, type):
            _check_home(found, name, allow)
    return _callable(found, owner, name)


def _imported(module_name: str, name: str) -> object:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and f"{module_name}.".startswith(f"{error.name}."):
            raise UnknownTask(f"unknown task {name!r}: there is no module {error.name}") from None
        raise


def _member(holder: object, part: str, name: str) -> object:
    missing = object()
    if isinstance(holder, type):
        found = inspect.getattr_static(holder, part, missing)
    elif inspect.ismodule(holder):
        found = getattr(holder, part, missing)
    else:
        found = missing
    if found is missing:
        where = getattr(holder, "__qualname__", None) or getattr(holder, "__name__", "it")
        raise UnknownTask(f"unknown task {name!r}: {where} has no {part}")
    return found


def _check_home(found: object, name: str, allow: Sequence[str]) -> None:
    """Refuse what was imported from elsewhere, unless a prefix names it, or its class, outright."""
    home = f"{getattr(found, '__module__', '')}:{getattr(found, '__qualname__', '')}"
    named = is_allowed(name, [prefix for prefix in allow if ":" in prefix])
    if not named and not is_allowed(home, allow):
        raise UnknownTask(f"unknown task {name!r}: {home} is not under an allowed prefix")


def _callable(found: object, owner: type | None, name: str) -> Target:
    if isinstance(found, type) and hasattr(found, "perform"):
        return _of_class(found)
    if isinstance(found, FunctionType):
        return Target(found, owner)
    if owner and isinstance(found, staticmethod | classmethod):
        return Target(found.__get__(None, owner))
    if owner is None and callable(found) and isinstance(getattr(found, "__wrapped__", None), FunctionType):
        return Target(cast("Function", found))
    raise UnknownTask(f"unknown task {name!r}: not a function, a method, or a class with perform")
