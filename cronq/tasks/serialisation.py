"""Convert arguments and results to JSON and back.

Values that JSON doesn't have are tagged, `{"$cronq": "datetime", "value": "2026-11-21T08:00:00"}`,
and are restored as they were: datetime, date, time, timedelta, Decimal, UUID, bytes, set, frozenset
and tuple. A dict of the user's own that has the key `$cronq` is written as a tagged list of pairs.
Enums, dataclasses, pydantic models, named tuples and paths are reduced to plain data, from which
the parameter's annotation restores them. Everything else is refused with its position.
"""

from __future__ import annotations

import math
from binascii import a2b_base64, b2a_base64
from enum import Enum
from json import JSONDecoder, JSONEncoder, encoder
from typing import TYPE_CHECKING, Any, NoReturn, cast

from cronq.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import date, datetime, timedelta, tzinfo
    from decimal import Decimal
    from uuid import UUID

TAG = "$cronq"

_PLAIN: frozenset[type] = frozenset({str, int, bool, type(None)})
_NAMES = frozenset({str})


class _UnstorableError(Exception):
    """Carries the path to the value that can't be stored, innermost step first."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.steps: list[str] = []

    def at(self, what: str) -> InvalidInput:
        return InvalidInput(f"{what}{''.join(reversed(self.steps))}: {self}")


def dumps(arguments: Mapping[str, object]) -> str:
    """Convert the arguments of a job to compact JSON.

    Raises InvalidInput naming the parameter, the path inside it (`items[3].when`) and the
    type of a value that can't be stored.
    """
    if is_plain(arguments):
        return dump_plain(arguments if type(arguments) is dict else dict(arguments))
    return dump_plain(_escaped({_name(name): _parameter(name, value) for name, value in arguments.items()}))


def is_plain(arguments: Mapping[str, object]) -> bool:
    """Tell whether all arguments are plain JSON values, which `dump_plain` can write."""
    return all(type(value) in _PLAIN and type(name) is str and name != TAG for name, value in arguments.items())


def dump_plain(plain: object, *, what: str | None = None) -> str:
    """Write plain JSON values. Raises InvalidInput for too long an int, or too deep a nesting."""
    try:
        text = "".join(_parts(plain, 0))
    except (ValueError, RecursionError):
        _blame(plain, what)
    # A lone surrogate, as in a file name that isn't UTF-8, can't be kept by a database: escape it.
    return text if text.isascii() or _is_unicode(text) else "".join(_parts_in_ascii(plain, 0))


def loads(text: str) -> dict[str, object]:
    """Read the arguments that `dumps` wrote. Raises InvalidInput for text that isn't a JSON object."""
    arguments = load_value(text)
    if not isinstance(arguments, dict):
        raise InvalidInput(f"arguments: expected a JSON object, not {text[:60]!r}")
    return arguments


def dump_value(value: object, *, what: str = "result") -> str:
    """Convert a value to compact JSON. Raises InvalidInput beginning with `what`."""
    return dump_plain(value if type(value) in _PLAIN else _parameter(what, value), what=what)


def load_value(text: str) -> object:
    """Read the value that `dump_value` wrote. Raises InvalidInput for text that can't be read."""
    try:
        return _decode_tagged(text) if TAG in text else _decode(text)
    except RecursionError:
        raise InvalidInput("stored JSON is nested too deeply") from None
    except (ValueError, TypeError, KeyError, ArithmeticError) as error:
        raise InvalidInput(f"stored JSON can't be read: {error}") from None


def _decode(text: str) -> object:
    """Read JSON; in half the time if there is no space around it, as cronq writes it."""
    try:
        value, end = _scan(text, 0)
    except StopIteration:
        end = -1
    return value if end == len(text) else _decoder.decode(text)


def needs_annotation(value: object) -> bool:
    """Tell whether the value is stored as plain data that only an annotation can restore."""
    return _structured(value) is not None


# Writing


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _blame(plain: object, what: str | None) -> NoReturn:
    """Raise InvalidInput for the part that the encoder refused: an int too long, nesting too deep."""
    parts = {what: plain} if what else cast("dict[str, object]", plain)
    for name, part in parts.items():
        try:
            "".join(_parts(part, 0))
        except RecursionError:
            raise InvalidInput(f"{name}: nested too deeply, or contains itself") from None
        except ValueError as error:
            raise InvalidInput(f"{name}: can't be stored: {error}") from None
    raise InvalidInput("arguments: nested too deeply")


def _name(name: object) -> str:
    if isinstance(name, str):
        return str.__str__(name)
    raise InvalidInput(f"arguments: names must be strings, not {name!r}")


def _parameter(name: str, value: object) -> object:
    try:
        return _reduce(value)
    except _UnstorableError as error:
        raise error.at(name) from None
    except RecursionError:
        raise InvalidInput(f"{name}: nested too deeply, or contains itself") from None


def _reduce(value: object) -> object:
    """Convert a value to plain JSON data and tags."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    reduce = _REDUCERS.get(kind)
    return reduce(value) if reduce else _reduce_other(value)


def _reduce_other(value: object) -> object:
    plain = _structured(value)
    if plain is not None:
        return _reduce(plain())
    for kind in type(value).__mro__:
        named = _REDUCERS_BY_NAME.get((kind.__module__, kind.__name__))
        if named:
            return named(value)
    for base, reduce in _REDUCERS_OF_BASES.items():
        if isinstance(value, base):
            return reduce(value)
    raise _UnstorableError(f"{_article(type(value).__name__)} can't be stored")


def _article(noun: str) -> str:
    return f"{'an' if noun[:1] in 'aeiouAEIOU' else 'a'} {noun}"


def _structured(value: object) -> Callable[[], object] | None:
    """Return a function that gets the plain data of an enum member, dataclass, model, named tuple or path, or None."""
    if isinstance(value, Enum):
        return lambda: value.value
    kind = type(value)
    if hasattr(kind, "__dataclass_fields__"):
        return lambda: _fields(value)
    if hasattr(kind, "__pydantic_validator__") and hasattr(kind, "model_dump"):
        return lambda: kind.model_dump(value)
    if isinstance(value, tuple) and hasattr(kind, "_fields"):
        return lambda: list(value)
    if hasattr(kind, "__fspath__"):
        return lambda: kind.__fspath__(value)
    return None


def _fields(value: object) -> dict[str, object]:
    fields = type(value).__dataclass_fields__.values()  # type: ignore[attr-defined]
    return {field.name: getattr(value, field.name) for field in fields if field.init}


def _finite(value: object) -> object:
    number = float.__float__(cast("float", value))
    if math.isfinite(number):
        return number
    raise _UnstorableError(f"{number} can't be stored: JSON has no such number")


def _list_of(value: object) -> object:
    items = list(cast("Iterable[object]", value))
    if _PLAIN.issuperset(map(type, items)):
        return items
    reduced: list[object] = []
    try:
        for item in items:
            reduced.append(_reduce(item))
    except _UnstorableError as error:
        error.steps.append(f"[{len(reduced)}]")
        raise
    return reduced


def _dict_of(value: object) -> object:
    items = cast("dict[object, object]", value)
    plain = _PLAIN.issuperset(map(type, items.values())) and _NAMES.issuperset(map(type, items))
    return _escaped(items if plain else _reduced_items(items))


def _escaped(reduced: Mapping[Any, object]) -> object:
    """Return the reduced dict itself; one that would be read as a tag becomes a tagged list of pairs."""
    return {TAG: "dict", "value": [list(pair) for pair in reduced.items()]} if TAG in reduced else reduced


def _reduced_items(items: dict[object, object]) -> dict[object, object]:
    reduced: dict[object, object] = {}
    for key, item in items.items():
        if not isinstance(key, str):
            raise _UnstorableError(f"keys must be strings, not {type(key).__name__} {key!r}")
        try:
            reduced[str.__str__(key)] = _reduce(item)
        except _UnstorableError as error:
            error.steps.append(f".{key}" if key.isidentifier() else f"[{key!r}]")
            raise
    return reduced


def _tagged(tag: str, plain: Callable[[object], object]) -> Callable[[object], object]:
    return lambda value: {TAG: tag, "value": plain(value)}


def _microseconds(value: object) -> object:
    from datetime import timedelta

    return cast("timedelta", value) // timedelta(microseconds=1)


def _with_zone(tag: str) -> Callable[[object], object]:
    def reduce(value: object) -> object:
        when = cast("datetime", value)
        tagged: dict[str, object] = {TAG: tag, "value": when.isoformat()}
        if when.fold:
            tagged["fold"] = 1
        zone = getattr(when.tzinfo, "key", None)
        return {**tagged, "zone": zone} if zone else tagged

    return reduce


_REDUCERS: dict[type, Callable[[object], object]] = {
    float: _finite,
    list: _list_of,
    dict: _dict_of,
    tuple: _tagged("tuple", _list_of),
    set: _tagged("set", _list_of),
    frozenset: _tagged("frozenset", _list_of),
    bytes: _tagged("bytes", lambda value: b2a_base64(cast("bytes", value), newline=False).decode()),
}

# Their modules are not imported for programs that don't use them.
_REDUCERS_BY_NAME = {
    ("datetime", "datetime"): _with_zone("datetime"),
    ("datetime", "date"): _tagged("date", lambda value: cast("date", value).isoformat()),
    ("datetime", "time"): _with_zone("time"),
    ("datetime", "timedelta"): _tagged("timedelta", _microseconds),
    ("decimal", "Decimal"): _tagged("decimal", str),
    ("uuid", "UUID"): _tagged("uuid", str),
}

_REDUCERS_OF_BASES: dict[type, Callable[[object], object]] = {
    str: lambda value: str.__str__(cast("str", value)),
    int: lambda value: int.__int__(cast("int", value)),
    **_REDUCERS,
}

STORABLE = _PLAIN.union(_REDUCERS)
"""Exact builtin types that are restored without an annotation."""


# Reading


def _restore(found: dict[str, object]) -> object:
    """Turn an object of the stored JSON that is a tag into its value."""
    if TAG not in found:
        return found
    restore = _RESTORERS.get(cast("str", found[TAG]))
    if restore is None:
        raise ValueError(f"unknown type {found[TAG]!r}; a newer cronq may have written it")
    return restore(found)


def _restored_set(kind: type[set[object]] | type[frozenset[object]]) -> Callable[[dict[str, object]], object]:
    def restore(found: dict[str, object]) -> object:
        items = cast("list[object]", found["value"])
        try:
            return kind(items)
        except TypeError:  # items are dicts, as dataclasses are until the annotation restores them
            return items

    return restore


def _restored_date(text: str) -> object:
    from datetime import date

    return date.fromisoformat(text)


def _restored_length(microseconds: int) -> object:
    from datetime import timedelta

    return timedelta(microseconds=microseconds)


def _restored_moment(kind: str) -> Callable[[dict[str, object]], object]:
    def restore(found: dict[str, object]) -> object:
        import datetime

        when: datetime.datetime = getattr(datetime, kind).fromisoformat(found["value"])
        zone = _zone(cast("str", found["zone"])) if "zone" in found else None
        fold = cast("int", found.get("fold", 0))
        return when.replace(tzinfo=zone or when.tzinfo, fold=fold)

    return restore


def _zone(key: str) -> tzinfo | None:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(key)
    except ZoneInfoNotFoundError:  # not known on this host: the offset gives the same instant
        return None


def _decimal(text: str) -> Decimal:
    from decimal import Decimal

    return Decimal(text)


def _uuid(text: str) -> UUID:
    from uuid import UUID

    return UUID(text)


_RESTORERS: dict[str, Callable[[dict[str, object]], object]] = {
    "dict": lambda found: dict(cast("list[tuple[str, object]]", found["value"])),
    "tuple": lambda found: tuple(cast("list[object]", found["value"])),
    "set": _restored_set(set),
    "frozenset": _restored_set(frozenset),
    "bytes": lambda found: a2b_base64(cast("str", found["value"])),
    "datetime": _restored_moment("datetime"),
    "date": lambda found: _restored_date(cast("str", found["value"])),
    "time": _restored_moment("time"),
    "timedelta": lambda found: _restored_length(cast("int", found["value"])),
    "decimal": lambda found: _decimal(cast("str", found["value"])),
    "uuid": lambda found: _uuid(cast("str", found["value"])),
}


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _encoder(*, ascii_only: bool) -> Callable[[object, int], Iterable[str]]:
    """Make the function that yields the parts of compact JSON.

    `JSONEncoder.encode` makes a C encoder for each call, which costs three times what using it
    does; so one is made beforehand. Without the C encoder, Python's is used.
    """
    usual = JSONEncoder(separators=(",", ":"), ensure_ascii=ascii_only, allow_nan=False, check_circular=False)
    make: Any = getattr(encoder, "c_make_encoder", None)
    if make is None:
        return lambda value, _indent: usual.iterencode(value)
    escaped = encoder.encode_basestring_ascii if ascii_only else encoder.encode_basestring
    return make(None, usual.default, escaped, None, ":", ",", False, False, False)  # type: ignore[no-any-return]  # noqa: FBT003


_parts = _encoder(ascii_only=False)
_parts_in_ascii = _encoder(ascii_only=True)
_decoder = JSONDecoder(parse_constant=_no_constant)
_scan: Any = _decoder.scan_once  # type: ignore[attr-defined]
_decode_tagged = JSONDecoder(parse_constant=_no_constant, object_hook=_restore).decode
