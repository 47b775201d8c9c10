from __future__ import annotations

import json
import math
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from cronq.errors import InvalidInput
from cronq.tasks.serialisation import dump_value, dumps, load_value, loads, needs_annotation

BERLIN = ZoneInfo("Europe/Berlin")


class Colour(Enum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


class Word(StrEnum):
    HELLO = "hello"


@dataclass
class Line:
    article: str
    colour: Colour
    count: int = field(default=0, init=False)


class Page(BaseModel):
    url: str
    seen: datetime


class Point(NamedTuple):
    x: int
    y: int


class Markup(str):
    __slots__ = ()


class Stamp(datetime):
    """As pandas has one."""


class Price(Decimal):
    __slots__ = ()


offsets = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
zones = st.none() | st.just(UTC) | offsets | st.sampled_from([BERLIN, ZoneInfo("America/New_York")])
hashable = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(),
    st.binary(),
    st.dates(),
    st.datetimes(timezones=zones),
    st.times(timezones=zones),
    st.timedeltas(),
    st.decimals(allow_nan=False),
    st.uuids(),
)
texts = st.text() | st.sampled_from(["$cronq", "value"])
values = st.recursive(
    hashable | st.sets(hashable) | st.frozensets(hashable) | st.frozensets(st.tuples(hashable)),
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner) | st.lists(inner).map(tuple),
    max_leaves=12,
)


def same(left: Any, right: Any) -> bool:
    """Equal, of the same types all the way down, times with the same zone and fold."""
    if type(left) is not type(right) or left != right:
        return False
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple):
        return all(map(same, left, right))
    if isinstance(left, datetime | time):
        return (left.isoformat(), left.fold) == (right.isoformat(), right.fold)
    return True


@settings(max_examples=25, deadline=None)
@given(st.dictionaries(texts, values, max_size=3))
def test_arguments_come_back_as_they_were(arguments: dict[str, object]) -> None:
    assert same(loads(dumps(arguments)), arguments)


@settings(max_examples=60, deadline=None)
@given(values)
def test_results_come_back_as_they_were(value: object) -> None:
    text = dump_value(value)
    assert same(load_value(text), value)
    text.encode()


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text())))
def test_plain_arguments_are_plain_compact_json(arguments: dict[str, object]) -> None:
    if "$cronq" not in arguments:
        assert dumps(arguments) == json.dumps(arguments, separators=(",", ":"), ensure_ascii=False)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (datetime(2026, 11, 21, 8, tzinfo=UTC), '{"$cronq":"datetime","value":"2026-11-21T08:00:00+00:00"}'),
        (date(2026, 11, 21), '{"$cronq":"date","value":"2026-11-21"}'),
        (time(8, 30), '{"$cronq":"time","value":"08:30:00"}'),
        (timedelta(hours=1), '{"$cronq":"timedelta","value":3600000000}'),
        (Decimal("1.10"), '{"$cronq":"decimal","value":"1.10"}'),
        (UUID(int=1), '{"$cronq":"uuid","value":"00000000-0000-0000-0000-000000000001"}'),
        (b"\x00\xff", '{"$cronq":"bytes","value":"AP8="}'),
        ({1}, '{"$cronq":"set","value":[1]}'),
        ((1, (2,)), '{"$cronq":"tuple","value":[1,{"$cronq":"tuple","value":[2]}]}'),
        ({"$cronq": "date"}, '{"$cronq":"dict","value":[["$cronq","date"]]}'),
    ],
)
def test_tags_are_written_so_for_ever(value: object, text: str) -> None:
    assert dump_value(value) == text
    assert same(load_value(text), value)


@pytest.mark.parametrize("fold", [0, 1])
def test_a_zone_and_the_side_of_the_repeated_hour_come_back(fold: int) -> None:
    when = datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=fold)
    back = load_value(dump_value(when))
    assert isinstance(back, datetime)
    assert (back, back.tzinfo, back.fold) == (when, BERLIN, fold)


def test_a_zone_unknown_here_leaves_the_instant() -> None:
    back = load_value('{"$cronq":"datetime","value":"2026-11-21T08:00:00+01:00","zone":"Moon/Base"}')
    assert back == datetime(2026, 11, 21, 7, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Colour.RED, "red"),
        (Level.HIGH, 3),
        (Word.HELLO, "hello"),
        (Line("pen", Colour.RED), {"article": "pen", "colour": "red"}),
        (Page(url="/", seen=datetime(2026, 1, 1)), {"url": "/", "seen": datetime(2026, 1, 1)}),
        (Point(1, 2), [1, 2]),
        (PurePosixPath("/tmp"), "/tmp"),
    ],
)
def test_structured_values_are_reduced_to_plain_data(value: object, plain: object) -> None:
    assert needs_annotation(value)
    assert same(load_value(dump_value(value)), plain)
    assert same(loads(dumps({"x": [value]})), {"x": [plain]})


@pytest.mark.parametrize(
    ("value", "plain"),
    [(Stamp(2026, 11, 29, 8), datetime(2026, 11, 29, 8)), (Price("1.50"), Decimal("1.50"))],
)
def test_subclasses_of_other_types_come_back_as_those(value: object, plain: object) -> None:
    came = load_value(dump_value(value))
    assert (came, type(came)) == (plain, type(plain))


@pytest.mark.parametrize(
    ("value", "plain"),
    [(Markup("<b>"), "<b>"), (OrderedDict(a=1), {"a": 1}), ({Word.HELLO: 1}, {"hello": 1}), (1.5, 1.5)],
)
def test_subclasses_of_json_types_become_those(value: object, plain: object) -> None:
    assert not needs_annotation(value)
    assert same(loads(dumps({"x": value})), {"x": plain})


def test_a_set_of_dataclasses_is_left_to_the_annotation() -> None:
    @dataclass(frozen=True)
    class Tag:
        name: str

    assert load_value(dump_value({Tag("a")})) == [{"name": "a"}]


def test_any_mapping_will_do() -> None:
    assert dumps(MappingProxyType({"n": 3})) == '{"n":3}'


def endless() -> list[object]:
    items: list[object] = []
    items.append(items)
    return items


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": object()}, "x: an object can't be stored"),
        ({"items": [1, 2, 3, {"when": 1j}]}, "items[3].when: a complex can't be stored"),
        ({"x": {"a b": (1, {2j})}}, "x['a b'][1][0]: a complex can't be stored"),
        ({"n": math.nan}, "n: nan can't be stored: JSON has no such number"),
        ({"n": {"m": [math.inf]}}, "n.m[0]: inf can't be stored: JSON has no such number"),
        ({"d": {"e": {3: "x"}}}, "d.e: keys must be strings, not int 3"),
        ({"d": {None: "x"}}, "d: keys must be strings, not NoneType None"),
        ({3: "x"}, "arguments: names must be strings, not 3"),
        ({"a": 1, "x": endless()}, "x: nested too deeply, or contains itself"),
        ({"line": Line(1j, Colour.RED)}, "line.article: a complex can't be stored"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_stored_is_named(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        dumps(arguments)
    assert str(caught.value) == message


def test_an_int_beyond_pythons_digits_is_named() -> None:
    with pytest.raises(InvalidInput, match=r"^n: can't be stored: Exceeds"):
        dumps({"a": 1, "n": 10**5000})


def test_a_result_that_cannot_be_stored_is_named() -> None:
    with pytest.raises(InvalidInput, match=r"^result\[0\]: a complex can't be stored$"):
        dump_value([1j])
    with pytest.raises(InvalidInput, match=r"^note: nan"):
        dump_value(math.nan, what="note")


def test_a_file_name_that_is_not_utf8_survives() -> None:
    text = dumps({"path": "b\udcff.txt"})
    text.encode()
    assert loads(text) == {"path": "b\udcff.txt"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[1]",
        '"x"',
        '{"n":NaN}',
        '{"x":{"$cronq":"pickle","value":""}}',
        '{"x":{"$cronq":"date","value":"yesterday"}}',
        '{"x":{"$cronq":"date"}}',
        '{"x":{"$cronq":"date","value":3}}',
        '{"x":{"$cronq":["date"],"value":3}}',
        '{"x":{"$cronq":"decimal","value":"ten"}}',
        '{"x":{"$cronq":"bytes","value":"A"}}',
        "[" * 100_000,
    ],
)
def test_text_that_cannot_be_read_is_invalid_input(text: str) -> None:
    with pytest.raises(InvalidInput):
        loads(text)
