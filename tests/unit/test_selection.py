from __future__ import annotations

import pytest

from cronq.errors import InvalidInput
from cronq.model.selection import Filter, parse_priorities

QUEUES = ["default", "shop", "shop.mail", "shop2"]


@pytest.mark.parametrize(
    ("patterns", "admitted"),
    [
        ((), QUEUES),
        (("shop",), ["shop"]),
        (("shop2", "shop"), ["shop2", "shop"]),
        (("shop*",), ["shop", "shop.mail", "shop2"]),
        (("shop.*", "*"), ["shop.mail", "default", "shop", "shop2"]),
        (("!shop",), ["default", "shop.mail", "shop2"]),
        (("!shop*",), ["default"]),
        (("shop*", "!shop2"), ["shop", "shop.mail"]),
        (("!shop2", "shop2"), []),
        (("sho?2",), ["shop2"]),
        (("none",), []),
    ],
)
def test_admitted(patterns: tuple[str, ...], admitted: list[str]) -> None:
    assert Filter(patterns).admitted(reversed(QUEUES)) == admitted


def test_a_name_with_glob_characters_is_itself() -> None:
    assert Filter(("a[1]",)).admitted(["a[1]", "a1"]) == ["a1", "a[1]"]
    assert Filter(("!a[1]",)).admitted(["a[1]", "a2"]) == ["a2"]


def test_a_filter_has_one_name() -> None:
    assert str(Filter(("a", "b"), lowest=1)) == str(Filter(("a", "b"), lowest=1))
    different = [Filter(), Filter(("a",)), Filter(weighted=True), Filter(lowest=1), Filter(highest=1)]
    assert len({str(one) for one in different}) == len(different)


@pytest.mark.parametrize(
    ("text", "expected"), [("10", (10, 10)), ("20-40", (20, 40)), ("25-", (25, 999)), ("-20", (0, 20)), ("0", (0, 0))]
)
def test_priorities(text: str, expected: tuple[int, int]) -> None:
    assert parse_priorities(text) == expected


@pytest.mark.parametrize("text", ["", "-", "a", "1-a", "40-20", "1000", "-1-2", "1-1000", "1.5"])
def test_bad_priorities(text: str) -> None:
    with pytest.raises(InvalidInput, match="priority"):
        parse_priorities(text)
