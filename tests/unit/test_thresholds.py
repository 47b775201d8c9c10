"""Ranges as the Monitoring Plugins write them."""

from __future__ import annotations

import pytest

from cronq.errors import InvalidInput, UsageError
from cronq.monitoring.thresholds import parse_range, parse_thresholds


@pytest.mark.parametrize(
    ("text", "quiet", "loud"),
    [
        ("10", [0, 5, 10], [-1, 10.1, float("inf")]),
        ("0", [0], [1]),
        ("10:", [10, 1e9, float("inf")], [9.9, 0]),
        ("~:10", [-5, 0, 10], [11, float("inf")]),
        ("5:10", [5, 7, 10], [4, 11]),
        ("@5:10", [4, 11], [5, 7, 10]),
        ("@0", [1], [0]),
        ("2m", [120], [121]),
        ("~:1h", [3600], [3601]),
    ],
)
def test_a_range_alerts_where_the_plugins_say(text: str, quiet: list[float], loud: list[float]) -> None:
    chosen = parse_range(text, what="x")
    assert [value for value in quiet if chosen.alerts(value)] == []
    assert [value for value in loud if not chosen.alerts(value)] == []


@pytest.mark.parametrize(
    ("text", "shown"),
    [("10", "10"), ("0:10", "10"), ("10:", "10:"), ("~:10", "~:10"), ("5:10", "5:10"), ("@5:10", "@5:10"),
     ("2m", "120"), ("0.5:2", "0.5:2"), ("~:", "~:"), ("0:", "0:")],
)  # fmt: skip
def test_performance_data_have_numbers_only(text: str, shown: str) -> None:
    assert str(parse_range(text, what="x")) == shown


@pytest.mark.parametrize("text", ["", ":", "@", "a", "1:2:3", "10:5", "-1", "1,5", "@:", "5:~", "nan", "1e3"])
def test_a_mistake_is_named(text: str) -> None:
    with pytest.raises(InvalidInput, match="is not a range like 10"):
        parse_range(text, what="x")


def test_thresholds_by_measure() -> None:
    found = parse_thresholds(["a=1", "b=2:", "a="], what="-w", known=["a", "b"])
    assert found["a"] is None
    assert str(found["b"]) == "2:"


@pytest.mark.parametrize("option", ["c=1", "1", "a"])
def test_an_unknown_measure_is_refused(option: str) -> None:
    with pytest.raises(UsageError, match="one of a, b"):
        parse_thresholds([option], what="-w", known=["a", "b"])
