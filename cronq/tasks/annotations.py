"""Check a value against a parameter's annotation, and convert it.

Exact types and the usual containers are handled here. pydantic is imported only for other
values, such as a dict for a dataclass or a string for a datetime.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections import abc
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Literal, Union, cast

from cronq.tasks.serialisation import STORABLE, needs_annotation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pydantic import TypeAdapter, ValidationError

    Check = Callable[[object], bool]

_STORABLE = STORABLE.union((date, datetime, time, timedelta))
_ANYTHING = (Any, object, inspect.Parameter.empty)
_WIDER: dict[object, tuple[type, ...]] = {int: (int, bool), float: (float, int), None: (type(None),)}
_SHORT = 60


class MisfitError(Exception):
    """A value, or a set of arguments, doesn't fit; the text is the reason."""


class Annotation:
    """Checks and converts values by one parameter's annotation."""

    __slots__ = ("_adapter", "_fits", "exact", "hint")

    def __init__(self, hint: object = Any) -> None:
        self.hint = hint
        self.exact = _exact_types(hint)
        """Types whose values fit without further checks."""
        self._fits = _check_for(hint)
        self._adapter: TypeAdapter[object] | None = None

    def convert(self, value: object) -> object:
        """Convert the value to the annotation's type; returns the value itself if it fits. Raises MisfitError."""
        if self.hint in _ANYTHING:
            return _came_as_it_was(value)
        return value if self._fits(value) else self._validated(value)

    def _validated(self, value: object) -> object:
        from pydantic import PydanticUndefinedAnnotation, PydanticUserError, ValidationError

        try:
            return self._adapted().validate_python(value, by_alias=True, by_name=True)
        except ValidationError as error:
            raise MisfitError(self._complaint(value, _reason(error))) from None
        except (PydanticUserError, PydanticUndefinedAnnotation):
            if _is_plain_class(self.hint) and not isinstance(value, cast("type", self.hint)):
                raise MisfitError(self._complaint(value, "no conversion to it is known")) from None
            return value

    def _adapted(self) -> TypeAdapter[object]:
        from pydantic import TypeAdapter

        if self._adapter is None:
            self._adapter = TypeAdapter(cast("type", self.hint))
        return self._adapter

    def _complaint(self, value: object, reason: str) -> str:
        return f"{_short(value)} does not fit {describe(self.hint)} ({reason})"


def describe(hint: object) -> str:
    """Write the annotation as in source code."""
    if isinstance(hint, str):
        return hint
    if isinstance(hint, type):
        return "None" if hint is type(None) else hint.__qualname__
    return str(hint).replace("typing.", "")


def resolve_hints(raw: Mapping[str, object], scope: dict[str, object]) -> dict[str, object]:
    """Evaluate annotations that are strings, by the module's names; one that can't be evaluated becomes Any."""
    try:
        return _evaluated(raw, scope)
    except Exception:  # an annotation may hold any expression
        return {name: _evaluated_or_any(name, hint, scope) for name, hint in raw.items()}


def _evaluated(raw: Mapping[str, object], scope: dict[str, object]) -> dict[str, object]:
    holder = types.SimpleNamespace(__annotations__=dict(raw))
    return typing.get_type_hints(holder, globalns=scope, localns={}, include_extras=True)


def _evaluated_or_any(name: str, hint: object, scope: dict[str, object]) -> object:
    try:
        return _evaluated({name: hint}, scope)[name]
    except Exception:
        return Any


def _came_as_it_was(value: object) -> object:
    if needs_annotation(value):
        raise MisfitError(f"only an annotation can bring back {_short(value)}, and there is none")
    return value


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHORT else f"{text[: _SHORT - 3]}..."


def _reason(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(str(step) for step in first["loc"])
    return f"{where}: {first['msg']}" if where else first["msg"]


# Checks without pydantic


def _is_plain_class(hint: object) -> bool:
    return isinstance(hint, type) and not getattr(hint, "_is_protocol", False) and not typing.is_typeddict(hint)


def _exact_types(hint: object) -> frozenset[type]:
    if hint in _ANYTHING:
        return _STORABLE
    if _is_union(hint):
        return frozenset(kind for member in typing.get_args(hint) for kind in _exact_types(member))
    if hint is None or _is_plain_class(hint):
        kinds: tuple[type, ...] = _WIDER.get(hint, (cast("type", hint),))
        return frozenset(kinds)
    return frozenset()


def _is_union(hint: object) -> bool:
    return typing.get_origin(hint) in (Union, types.UnionType)


def _check_for(hint: object) -> Check:
    if hint in _ANYTHING:
        return lambda _: True
    build = _CONTAINERS.get(typing.get_origin(hint))
    if build:
        return build(typing.get_args(hint))
    if isinstance(hint, typing.NewType):
        return _check_for(hint.__supertype__)
    exact = _exact_types(hint)
    return lambda value: type(value) in exact


def _union(members: Sequence[object]) -> Check:
    checks = [_check_for(member) for member in members]
    return lambda value: any(check(value) for check in checks)


def _literal(choices: Sequence[object]) -> Check:
    return lambda value: any(type(value) is type(choice) and value == choice for choice in choices)


def _items_of(*kinds: type) -> Callable[[Sequence[object]], Check]:
    def build(arguments: Sequence[object]) -> Check:
        check = _check_each(arguments[0] if arguments else Any)
        return lambda value: type(value) in kinds and check(cast("Sequence[object]", value))

    return build


def _check_each(hint: object) -> Callable[[abc.Iterable[object]], bool]:
    exact, check = _exact_types(hint), _check_for(hint)
    return lambda items: exact.issuperset(map(type, items)) or all(map(check, items))


def _tuple(arguments: Sequence[object]) -> Check:
    if arguments[1:] == (Ellipsis,):
        return _items_of(tuple)(arguments)
    checks = [_check_for(argument) for argument in arguments]

    def fits(value: object) -> bool:
        if type(value) is not tuple or len(value) != len(checks):
            return False
        return all(check(item) for check, item in zip(checks, value, strict=True))

    return fits


def _dict(arguments: Sequence[object]) -> Check:
    keys, values = (_check_each(argument) for argument in arguments or (Any, Any))

    def fits(value: object) -> bool:
        return type(value) is dict and keys(value) and values(value.values())

    return fits


_CONTAINERS: dict[object, Callable[[Sequence[object]], Check]] = {
    Union: _union,
    types.UnionType: _union,
    Literal: _literal,
    list: _items_of(list),
    set: _items_of(set),
    frozenset: _items_of(frozenset),
    abc.Sequence: _items_of(list, tuple),
    abc.Collection: _items_of(list, tuple, set, frozenset),
    abc.Iterable: _items_of(list, tuple, set, frozenset),
    tuple: _tuple,
    dict: _dict,
    abc.Mapping: _dict,
    abc.MutableMapping: _dict,
}
