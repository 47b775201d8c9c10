"""Bind a task's arguments by name when a job is enqueued, and convert them for the call."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Sequence
from inspect import Parameter
from typing import TYPE_CHECKING, Any, Union

from cronq.tasks.annotations import Annotation, MisfitError, describe, resolve_hints
from cronq.tasks.serialisation import dump_plain, dumps, is_plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_SHAPES = 64
"""The most combinations of names and types that are stored as fitting: most calls are checked by one look-up."""

_NO_TYPES: frozenset[type] = frozenset()
_POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)


class Parameters:
    """The parameters of one callable, without the first `skip` (self), which callers don't give."""

    def __init__(self, function: Callable[..., object], *, skip: int = 0) -> None:
        signature = _signature(function)
        self._all = list(signature.parameters.values())[skip:]
        self._positional = [each for each in self._all if each.kind in _POSITIONAL]
        self._positional_names = [each.name for each in self._positional]
        self._rest = _name_of_kind(self._all, Parameter.VAR_POSITIONAL)
        self._extra = _name_of_kind(self._all, Parameter.VAR_KEYWORD)
        self._ambiguous = self._rest if self._extra and len(self._all) == len((self._rest, self._extra)) else None
        """The name of `*args` in a wrapper with only `*args, **kwargs`: the wrapped callable may have it too."""
        self._known = frozenset(each.name for each in self._all) - {self._extra}
        self._required = frozenset(each.name for each in self._all if _is_required(each))
        self._only_by_keyword = not self._rest and all(each.kind is not Parameter.POSITIONAL_ONLY for each in self._all)
        self._annotations = self._annotated(getattr(inspect.unwrap(function), "__globals__", {}))
        self._fitting: set[tuple[object, ...]] = set()
        self._plain: set[tuple[object, ...]] = set()
        self._exact = {name: annotation.exact for name, annotation in self._annotations.items()}

    def bind(self, args: Sequence[object], kwargs: Mapping[str, object]) -> dict[str, object]:
        """Return the arguments by name, checked but not converted. Raises MisfitError."""
        if self._ambiguous in kwargs:
            raise MisfitError(self._ambiguity())
        return self._bound(args, kwargs)

    def _bound(self, args: Sequence[object], kwargs: Mapping[str, object]) -> dict[str, object]:
        arguments = self._named(args, kwargs) if args else dict(kwargs)
        shape = (*arguments, *map(type, arguments.values()))
        if shape not in self._fitting:
            self._check_names(arguments)
            if self.converted(arguments) is arguments and len(self._fitting) < _SHAPES:
                self._fitting.add(shape)
        return arguments

    def bind_stored(self, args: Sequence[object], kwargs: Mapping[str, object]) -> str:
        """Return the arguments by name as JSON. Raises MisfitError, and InvalidInput if one can't be stored."""
        if self._ambiguous in kwargs:
            raise MisfitError(self._ambiguity())
        arguments = self._named(args, kwargs) if args else kwargs
        shape = (*arguments, *map(type, arguments.values()))
        if shape in self._plain:
            return dump_plain(arguments)
        bound = self._bound((), arguments)
        if shape in self._fitting and is_plain(bound):
            self._plain.add(shape)
        return dumps(bound)

    def bind_text(self, fields: Mapping[str, object]) -> dict[str, object]:
        """Convert a shell's strings to arguments by name.

        Raises MisfitError, also for a string whose parameter has an annotation that can't be evaluated.
        """
        self._check_names(fields)
        if self._ambiguous in fields:
            raise MisfitError(self._ambiguity())
        for name, value in fields.items():
            if name in self._unresolved and isinstance(value, str):
                hint = describe(self._unresolved[name])
                problem = f"its annotation {hint} is not there at run time (imported only under TYPE_CHECKING?)"
                raise MisfitError(f"argument {name!r}: {problem}, so text can't be converted to it")
        return dict(self.converted(fields))

    def converted(self, arguments: Mapping[str, object]) -> Mapping[str, object]:
        """Convert each argument to its annotation's type; returns `arguments` itself if all fit. Raises MisfitError."""
        exact = self._exact
        changed = {
            name: self._convert(name, value)
            for name, value in arguments.items()
            if type(value) not in exact.get(name, _NO_TYPES)
        }
        return {**arguments, **changed} if changed else arguments

    def spread(self, arguments: Mapping[str, object]) -> tuple[Sequence[object], dict[str, object]]:
        """Convert stored arguments for the call: positional ones and keywords. Raises MisfitError."""
        self._check_names(arguments)
        named = self.converted(arguments)
        if self._only_by_keyword:
            return (), named if isinstance(named, dict) else dict(named)
        return self._split(dict(named))

    def cut(self, fields: Mapping[str, object]) -> dict[str, object]:
        """Return the fields that have a parameter: all of them with `**kwargs`."""
        if self._extra is not None:
            return dict(fields)
        return {name: value for name, value in fields.items() if name in self._known}

    def describe(self) -> str:
        """Write the parameters as in source code: `(to: str, n: int = 3)`."""
        shown = [each.replace(annotation=_shown(each)) for each in self._all]
        return str(inspect.Signature(shown))

    def _annotated(self, scope: dict[str, object]) -> dict[str, Annotation]:
        raw = {each.name: each.annotation for each in self._all if each.annotation is not each.empty}
        hints = resolve_hints(raw, scope)
        self._unresolved = {
            name: hint for name, hint in raw.items() if hints[name] is Any and not describe(hint).endswith("Any")
        }
        return {each.name: _annotation(each, hints) for each in self._all}

    def _named(self, args: Sequence[object], kwargs: Mapping[str, object]) -> dict[str, object]:
        names = self._positional_names
        given = dict(zip(names, args, strict=False))
        surplus = tuple(args[len(names) :])
        if surplus and self._rest is None:
            raise MisfitError(f"{len(args)} positional arguments given, at most {len(names)} taken")
        if surplus and self._rest:
            given[self._rest] = surplus
        if not given.keys().isdisjoint(kwargs):
            raise MisfitError(f"{_listed(given.keys() & kwargs.keys())} given twice")
        return {**given, **kwargs}

    def _ambiguity(self) -> str:
        return (
            f"argument {self._rest!r} has the name of *{self._rest}: give it by position,"
            f" or put functools.wraps on the wrapper that takes *{self._rest} and **{self._extra}"
        )

    def _check_names(self, arguments: Mapping[str, object]) -> None:
        names = arguments.keys()
        if not self._required <= names:
            missing = [each.name for each in self._all if each.name in self._required - names]
            raise MisfitError(f"missing {_listed(missing)}")
        if self._extra is None and not names <= self._known:
            raise MisfitError(f"unknown {_listed(names - self._known)}")

    def _convert(self, name: str, value: object) -> object:
        annotation = self._annotations.get(name) or self._annotations[self._extra or ""]
        try:
            return annotation.convert(value)
        except MisfitError as error:
            raise MisfitError(f"argument {name!r}: {error}") from None

    def _split(self, named: dict[str, object]) -> tuple[Sequence[object], dict[str, object]]:
        rest = named.pop(self._rest, ()) if self._rest else ()
        rest = rest if isinstance(rest, Sequence) else ()
        args = [
            named.pop(each.name, each.default)
            for each in self._positional
            if rest or each.kind is Parameter.POSITIONAL_ONLY
        ]
        return [*args, *rest], named


def _signature(function: Callable[..., object]) -> inspect.Signature:
    if sys.version_info >= (3, 14):
        from annotationlib import Format

        return inspect.signature(function, annotation_format=Format.FORWARDREF)
    return inspect.signature(function)


def _is_required(parameter: Parameter) -> bool:
    variadic = parameter.kind in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
    return parameter.default is parameter.empty and not variadic


def _name_of_kind(parameters: Iterable[Parameter], kind: object) -> str | None:
    return next((each.name for each in parameters if each.kind is kind), None)


def _annotation(parameter: Parameter, hints: Mapping[str, object]) -> Annotation:
    hint = hints.get(parameter.name, object)
    if parameter.kind is Parameter.VAR_POSITIONAL:
        return Annotation(Sequence[hint])  # type: ignore[valid-type]
    if parameter.default is None and hint is not object:
        return Annotation(Union[hint, None])  # noqa: UP007 - `|` isn't defined for every annotation
    return Annotation(hint)


class _Shown:
    """Text that a Signature shows in an annotation's place."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def _shown(parameter: Parameter) -> object:
    annotation = parameter.annotation
    return annotation if annotation is parameter.empty else _Shown(describe(annotation))


def _listed(names: Iterable[object]) -> str:
    quoted = [repr(name) for name in names]
    return f"argument{'s' if len(quoted) > 1 else ''} {', '.join(quoted)}"
