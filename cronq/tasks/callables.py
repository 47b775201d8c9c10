"""Find and call the callable of a task: a function, a class with `perform`, or a method by its importable name."""

from __future__ import annotations

import importlib
import inspect
import sys
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from types import CoroutineType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from cronq.errors import ConfigError, TimeLimitExceeded, UnknownTask

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    Function = Callable[..., object]
    Warn = Callable[[str], object]


class Target(NamedTuple):
    """A callable and how to call it."""

    function: Function
    owner: type | None = None
    """The class of which each attempt makes an instance, without arguments; the function is then its method."""
    has_steps: bool = False
    """Whether the methods `before` and `after` of the owner are called too, if it has them."""

    @property
    def place(self) -> str:
        """The name and line of its definition: `shop.jobs.send_mail (/srv/shop/jobs.py:12)`."""
        return f"{self._named.__module__}.{self._named.__qualname__} ({self._line})"

    def is_same(self, other: Target) -> bool:
        """Tell whether both are the same callable."""
        return (self.owner, inspect.unwrap(self.function)) == (other.owner, inspect.unwrap(other.function))

    def reads_like(self, other: Target) -> bool:
        """Tell whether both have the same name in the same file, as after a module was loaded twice."""
        return (self._file, self._named.__qualname__) == (other._file, other._named.__qualname__)

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

    @property
    def _file(self) -> str:
        return self._line.rpartition(":")[0]

    def run(self, args: Sequence[object], kwargs: dict[str, object], warn: Warn) -> object:
        """Call the function and its steps, and return the result, or a coroutine that does the rest and returns it.

        It is a coroutine if the function or one of its steps is an `async def`. `warn` is called with the text of
        an error in `after`.
        """
        if self.owner is None:
            return self.function(*args, **kwargs)
        instance = self.owner()
        if not self.has_steps:
            return self.function(instance, *args, **kwargs)
        go_on = partial(_perform, instance, partial(self.function, instance, *args, **kwargs), warn)
        before = _step(instance, "before")
        return _prepared(before, go_on) if type(before) is CoroutineType else go_on()


def _perform(instance: object, perform: Callable[[], object], warn: Warn) -> object:
    finish = partial(_finish, instance, warn)
    result = perform()
    return _performed(result, finish) if type(result) is CoroutineType else finish(result)


def _finish(instance: object, warn: Warn, result: object) -> object:
    try:
        after = _step(instance, "after")
    except _AFTER as error:
        warn(_said(error))
        return result
    return _finished(after, warn, result) if type(after) is CoroutineType else result


async def _prepared(before: Awaitable[object], go_on: Callable[[], object]) -> object:
    await before
    return await _settled(go_on())


async def _performed(result: Awaitable[object], finish: Callable[[object], object]) -> object:
    return await _settled(finish(await result))


async def _finished(after: Awaitable[object], warn: Warn, result: object) -> object:
    try:
        await after
    except _AFTER as error:
        warn(_said(error))
    return result


async def _settled(result: object) -> object:
    return await result if type(result) is CoroutineType else result


_AFTER = (Exception, TimeLimitExceeded)
"""Errors that are warnings in `after`: the work is done and must not be retried."""


def _said(error: BaseException) -> str:
    return f"after: {type(error).__name__}: {error}"


def _step(instance: object, name: str) -> object:
    step = getattr(instance, name, None)
    return step() if step else None


def as_manager(function: Function) -> Function:
    """Return a function that returns a context manager: converts generator functions, returns others unchanged."""
    if inspect.isgeneratorfunction(function):
        return contextmanager(function)
    return asynccontextmanager(function) if inspect.isasyncgenfunction(function) else function


def _is_function(target: object) -> bool:
    return inspect.isroutine(target) and not isinstance(target, partial)  # a descriptor since Python 3.14


def of(target: Function | type) -> Target:
    """Make the target of a function or a class with `perform`. Raises ConfigError for anything else."""
    found = _of_class(target) if isinstance(target, type) else Target(target)
    if not isinstance(target, type) and not _is_function(inspect.unwrap(target)):
        message = "is not a function or a class with a method perform; what is called otherwise is called in a function"
        raise ConfigError(f"{target!r} {message}")
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
    except ValueError:  # a class of C code without a signature
        return False
    return False


def default_name(target: Any) -> str:
    """Return `module.function`; for a module run as a script, the name by which it is imported."""
    module = target.__module__
    if module == "__main__":
        main = sys.modules["__main__"]
        spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
        module = spec.name if spec else _stem(file) if file else module
    return f"{module}.{target.__name__}"


def _stem(file: str) -> str:
    from pathlib import Path  # here, not above: only scripts need it

    return Path(file).stem


def is_allowed(name: str, allow: Sequence[str]) -> bool:
    """Tell whether `module:Qual.name` has one of the prefixes, compared by whole words."""
    return any(name == prefix or name.startswith((f"{prefix}.", f"{prefix}:")) for prefix in allow)


def is_importable_name(name: str) -> bool:
    """Tell whether the name has the form `module:Qual.name` without private parts."""
    module, _, path = name.partition(":")
    parts = [*module.split("."), *path.split(".")]
    return all(part.isidentifier() and not part.startswith("_") for part in parts)


def load(name: str, allow: Sequence[str]) -> Target:
    """Import the function or method named `module:function` or `module:Class.method`.

    Refuses names that the module only imports or that a class inherits from elsewhere, modules and
    instances. Raises UnknownTask if there is no such callable, and the module's own errors.
    """
    module_name, _, path = name.partition(":")
    first, *rest = path.split(".")
    found = _member(_imported(module_name, name), first, name)
    if name not in allow and f"{module_name}:{first}" not in allow:
        _require_allowed(found, name, allow)
    if not rest:
        return _callable(found, name, allow)
    if not isinstance(found, type) or len(rest) > 1:
        raise _unknown(name, "not a function of a module, nor a method of one of its classes")
    return _method(found, rest[0], name, allow)


def _imported(module_name: str, name: str) -> ModuleType:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and f"{module_name}.".startswith(f"{error.name}."):
            raise _unknown(name, f"there is no module {error.name}") from None
        raise


def _member(module: ModuleType, part: str, name: str) -> object:
    missing = object()
    found = getattr(module, part, missing)
    if found is missing:
        raise _unknown(name, f"{module.__name__} has no {part}")
    return found


def _method(owner: type, part: str, name: str, allow: Sequence[str]) -> Target:
    """Find a method that the class, or an allowed base class, defines itself."""
    definer = next((base for base in owner.__mro__ if part in vars(base)), None)
    if definer is None:
        raise _unknown(name, f"{owner.__qualname__} has no {part}")
    if definer is not owner and name not in allow:
        _require_allowed(definer, name, allow)
    found = vars(definer)[part]
    bound = isinstance(found, staticmethod | classmethod)
    function = found.__func__ if bound else found
    if not isinstance(function, FunctionType):
        raise _unknown(name, f"{part} is not a method")
    if function.__module__ != definer.__module__ and name not in allow:
        _require_allowed(function, name, allow)
    return Target(found.__get__(None, owner)) if bound else Target(function, owner)


def _require_allowed(found: object, name: str, allow: Sequence[str]) -> None:
    home = f"{getattr(found, '__module__', '')}:{getattr(found, '__qualname__', '')}"
    if isinstance(found, ModuleType) or not is_allowed(home, allow):
        raise _unknown(
            name, f"{found.__name__ if isinstance(found, ModuleType) else home} is not under an allowed prefix"
        )


def _callable(found: object, name: str, allow: Sequence[str]) -> Target:
    if isinstance(found, type) and hasattr(found, "perform"):
        _method(found, "perform", f"{name}.perform", allow)
        return _of_class(found)
    if isinstance(found, FunctionType):
        return Target(found)
    if callable(found) and isinstance(getattr(found, "__wrapped__", None), FunctionType):  # functools.cache, for one
        return Target(cast("Function", found))
    raise _unknown(name, "not a function, a method, or a class with perform")


def _unknown(name: str, why: str) -> UnknownTask:
    return UnknownTask(f"unknown task {name!r}: {why}")
