from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NewType, Optional
from uuid import UUID

import pytest
from pydantic import BaseModel, Field

from cronq.errors import Fail, InvalidInput
from cronq.tasks.registry import Task
from cronq.tasks.serialisation import dumps, loads

if TYPE_CHECKING:
    from nowhere import Elsewhere  # type: ignore[import-not-found]


class Colour(Enum):
    RED = "red"


@dataclass
class Line:
    article: str
    colour: Colour
    price: Decimal


class Page(BaseModel):
    url: str = Field(alias="URL")
    seen: datetime


UserId = NewType("UserId", int)


def send(to: str, subject: str, when: datetime | None = None) -> tuple[object, ...]:
    return to, subject, when


def through_storage(task: Task, *args: object, **kwargs: object) -> object:
    return task.call(loads(dumps(task.bind(args, kwargs))))


# Binding


SEND = Task("mail.send", send)
TAKES = "; takes (to: str, subject: str, when: datetime | None = None)"


def test_arguments_are_bound_by_name_without_defaults() -> None:
    assert SEND.bind(("ann",), {"subject": "hi"}) == {"to": "ann", "subject": "hi"}


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((), {"subject": "hi"}, "missing argument 'to'"),
        ((), {}, "missing arguments 'to', 'subject'"),
        (("ann", "hi"), {"cc": "bob"}, "unknown argument 'cc'"),
        (("ann",), {"to": "bob", "subject": "hi"}, "argument 'to' given twice"),
        ((1, 2, 3, 4), {}, "4 positional arguments given, at most 3 taken"),
        ((3, "hi"), {}, "argument 'to': 3 does not fit str (Input should be a valid string)"),
    ],
)
def test_mistakes_name_task_argument_and_signature(
    args: tuple[object, ...], kwargs: dict[str, object], message: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        SEND.bind(args, kwargs)
    assert str(caught.value) == f"mail.send: {message}{TAKES}"


def variadic(first: int, second: int = 2, *rest: int, flag: bool = False, **extra: str) -> object:
    return first, second, rest, flag, extra


def positional(first: int, second: int = 2, /, third: int = 3) -> object:
    return first, second, third


def overlapping(name: str, /, **others: object) -> object:
    return name, others


@pytest.mark.parametrize(
    ("function", "args", "kwargs"),
    [
        (variadic, (1,), {}),
        (variadic, (1, 3, 5, 7), {"flag": True, "more": "x"}),
        (variadic, (), {"first": 1, "other": "y"}),
        (positional, (1,), {"third": 4}),
        (positional, (1, 5, 6), {}),
        (overlapping, ("ann",), {"others": 1, "x": None}),
    ],
)
def test_a_stored_call_is_the_plain_call(
    function: Callable[..., object], args: tuple[object, ...], kwargs: dict[str, object]
) -> None:
    assert through_storage(Task("t", function), *args, **kwargs) == function(*args, **kwargs)


def test_rest_is_stored_under_its_own_name() -> None:
    task = Task("t", variadic)
    assert task.bind((1, 2, 3), {"a": "b"}) == {"first": 1, "second": 2, "rest": (3,), "a": "b"}
    assert task.call({"first": 1, "rest": [5, 6]}) == (1, 2, (5, 6), False, {})
    with pytest.raises(InvalidInput, match="argument 'rest': 'abc' does not fit"):
        task.bind((), {"first": 1, "rest": "abc"})
    with pytest.raises(InvalidInput, match="argument 'a': 1 does not fit str"):
        task.bind((1,), {"a": 1})


def test_positional_only_parameters_are_known_by_name() -> None:
    assert Task("t", positional).call({"first": 7}) == (7, 2, 3)


# Annotations


@pytest.mark.parametrize(
    ("hint", "given_value", "stored", "called"),
    [
        (int, "3", "3", 3),
        (float, 3, 3, 3),
        (bool, "yes", "yes", True),
        (datetime, "2026-11-21T08:00:00Z", "2026-11-21T08:00:00Z", datetime(2026, 11, 21, 8, tzinfo=UTC)),
        (Colour, Colour.RED, "red", Colour.RED),
        (Colour, "red", "red", Colour.RED),
        (Decimal, "1.10", "1.10", Decimal("1.10")),
        (UUID, str(UUID(int=1)), str(UUID(int=1)), UUID(int=1)),
        (Path, Path("/tmp"), "/tmp", Path("/tmp")),
        (timedelta, timedelta(1), timedelta(1), timedelta(1)),
        (list[Colour], [Colour.RED], ["red"], [Colour.RED]),
        (set[int], {1}, {1}, {1}),
        (set[int], [1], [1], {1}),
        (tuple[int, str], (1, "x"), (1, "x"), (1, "x")),
        (tuple[int, ...], (1, 2), (1, 2), (1, 2)),
        (Literal["a", "b"], "a", "a", "a"),
        (Optional[int], None, None, None),  # noqa: UP045 - people write it
        (UserId, 7, 7, 7),
        (Annotated[int, Field(gt=0)], 7, 7, 7),
        (Mapping[str, list[int]], {"a": [1]}, {"a": [1]}, {"a": [1]}),
        (Any, Decimal(1), Decimal(1), Decimal(1)),
        (
            Line,
            Line("pen", Colour.RED, Decimal("1.5")),
            {"article": "pen", "colour": "red", "price": Decimal("1.5")},
            Line("pen", Colour.RED, Decimal("1.5")),
        ),
        (
            Page,
            Page(URL="/", seen=datetime(2026, 1, 1)),
            {"url": "/", "seen": datetime(2026, 1, 1)},
            Page(URL="/", seen=datetime(2026, 1, 1)),
        ),
        (Page, {"URL": "/", "seen": "2026-01-01"}, {"URL": "/", "seen": "2026-01-01"}, None),
    ],
)
def test_the_annotation_restores_values(hint: object, given_value: object, stored: object, called: object) -> None:
    def function(x: object) -> object:
        return x

    function.__annotations__["x"] = hint
    task = Task("t", function)
    arguments = loads(dumps(task.bind((given_value,), {})))
    assert arguments == {"x": stored}
    result = task.call(arguments)
    assert result == (called if called is not None else result)
    assert type(result) is type(called) or called is None


@pytest.mark.parametrize(
    ("hint", "value", "shown"),
    [
        (int, "x", "argument 'x': 'x' does not fit int"),
        (list[int], [1, "y"], r"argument 'x': \[1, 'y'\] does not fit list\[int\] \(1: Input should"),
        (Colour, "blue", "'blue' does not fit Colour"),
        (Literal["a"], "b", r"'b' does not fit Literal\['a'\]"),
        (Annotated[int, Field(gt=0)], -1, "greater than 0"),
        (tuple[int, str], (1,), "does not fit"),
        (dict[str, int], {"a": "b"}, "does not fit"),
        (int | None, "x", r"does not fit int \| None"),
        (object, Colour.RED, "only an annotation can bring back"),
        (Task, "x", "'x' does not fit Task"),
    ],
)
def test_what_does_not_fit_is_refused_at_enqueue_and_fails_at_call(hint: object, value: object, shown: str) -> None:
    def function(x: object) -> object:
        raise AssertionError(x)

    function.__annotations__["x"] = hint
    task = Task("t", function)
    with pytest.raises(InvalidInput, match=shown):
        task.bind((value,), {})
    with pytest.raises(Fail, match=shown) as caught:
        task.call({"x": value})
    assert "\n" not in str(caught.value)


def test_plain_values_need_no_pydantic(monkeypatch: pytest.MonkeyPatch) -> None:
    def function(to: str, n: int | None, tags: list[str], more: dict[str, float], when: datetime, other: Any) -> object:
        return to, n, tags, more, when, other

    monkeypatch.setitem(sys.modules, "pydantic", None)  # an import of it would raise
    given_values = ("ann", None, ["a"], {"x": 1}, datetime(2026, 1, 1), {"deep": [1]})
    assert through_storage(Task("t", function), *given_values) == given_values


def test_none_is_fine_where_it_is_the_default() -> None:
    def function(x: int = None) -> object:  # type: ignore[assignment] # noqa: RUF013 - people write it
        return x

    assert through_storage(Task("t", function), None) is None


def test_an_annotation_that_cannot_be_resolved_takes_anything_and_spares_the_others() -> None:
    def function(x: Elsewhere, n: int) -> object:
        return x, n

    task = Task("t", function)
    assert task.call({"x": "1", "n": "2"}) == ("1", 2)
    assert task.parameters.describe() == "(x: Elsewhere, n: int)"


def test_text_from_a_shell_becomes_what_the_annotation_wants() -> None:
    def function(n: int, at: datetime, name: str, other: object, either: int | str) -> None: ...

    task = Task("t", function)
    fields = {"n": "3", "at": "2026-11-21", "name": "4", "other": "5", "either": "6"}
    assert task.bind_text(fields) == {**fields, "n": 3, "at": datetime(2026, 11, 21)}
    with pytest.raises(InvalidInput, match="argument 'n': 'three' does not fit int"):
        task.bind_text({**fields, "n": "three"})
    with pytest.raises(InvalidInput, match="missing arguments 'n', 'at'"):
        task.bind_text({})


def test_arguments_that_no_longer_fit_fail_the_job_in_one_line() -> None:
    with pytest.raises(Fail) as caught:
        SEND.call({"to": "ann"})
    assert str(caught.value) == f"mail.send: missing argument 'subject'{TAKES}"


def test_wrapped_functions_keep_their_signature() -> None:
    @functools.wraps(send)
    def wrapper(*args: object, **kwargs: object) -> object:
        return send(*args, **kwargs)  # type: ignore[arg-type]

    assert through_storage(Task("t", wrapper), "ann", subject="hi") == ("ann", "hi", None)


def test_text_for_an_annotation_that_is_not_there_is_refused() -> None:
    def task(day: Missing, any_: Any, text: str, number: int) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    parameters = Task("t", task)
    with pytest.raises(InvalidInput, match=r"argument 'day': its annotation '?Missing'? is not there at run time"):
        parameters.bind_text({"day": "2030-01-01", "any_": "x", "text": "x", "number": "3"})
    bound = parameters.bind_text({"day": 7, "any_": "x", "text": "x", "number": "3"})
    assert bound == {"day": 7, "any_": "x", "text": "x", "number": 3}


def test_an_argument_that_is_called_like_the_positional_ones_is_refused_where_it_may_be_either() -> None:
    def wrapper(*args: object, **kwargs: object) -> object:
        return args, kwargs

    task = Task("t", wrapper)
    for bind in (task.bind, task.bind_stored):
        with pytest.raises(InvalidInput, match=r"t: argument 'args' has the name of \*args: give it by position"):
            bind((), {"args": [1, 2]})
    with pytest.raises(InvalidInput, match="argument 'args' has the name"):
        task.bind_text({"args": "x"})
    assert through_storage(task, 1, 2, n=3) == ((1, 2), {"n": 3})


def test_a_wrapper_with_wraps_has_the_parameters_of_what_it_wraps() -> None:
    def report(args: list[int]) -> object:
        return args

    @functools.wraps(report)
    def wrapper(*args: object, **kwargs: object) -> object:
        return report(*args, **kwargs)  # type: ignore[arg-type]

    assert through_storage(Task("t", wrapper), args=[1, 2]) == [1, 2]
    assert through_storage(Task("t", wrapper), [1, 2]) == [1, 2]
