"""When a schedule is due: the vectors, what is refused, and what users of other schedulers ran into."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from cronq.errors import ConfigError
from cronq.schedules.rule import DROPPED, Rule, jitter, tzdata_version
from tests.project import ROOT

VECTORS: dict[str, Any] = json.loads((ROOT / "tests/schedule_vectors.json").read_text())


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def cron(expression: str, timezone: str = "Europe/Prague") -> Rule:
    return Rule.parse([expression], timezone=timezone)


def following(rule: Rule, start: str, number: int) -> list[str]:
    """The next local times, each asked for with the one before."""
    found, instant = [], at(start)
    for _ in range(number):
        due = rule.next_after(instant)
        assert due is not None
        found.append(rule.zone.aware(due).strftime("%m-%d %H:%M%z"))
        instant = due
    return found


@pytest.mark.parametrize("vector", VECTORS["vectors"], ids=lambda vector: vector["id"])
def test_vector(vector: dict[str, Any]) -> None:
    rule = cron(vector["expression"], vector["timezone"])
    expected = [datetime.fromisoformat(text) for text in vector["next"]]
    start = datetime.fromisoformat(vector["start"])
    assert [rule.next_after(one) for one in [start, *expected[:-1]]] == expected
    assert list(rule.due_between(start, expected[-1])) == expected
    assert [rule.zone.aware(one).isoformat() for one in expected] == vector["local"]
    assert rule.expressions[0].follows_clock is (vector["rule"] == "clock")


@pytest.mark.parametrize("vector", VECTORS["intervals"], ids=lambda vector: vector["every"])
def test_interval(vector: dict[str, Any]) -> None:
    expected = [datetime.fromisoformat(text) for text in vector["next"]]
    rule = Rule.parse(every=vector["seconds"])
    assert list(rule.due_between(datetime.fromisoformat(vector["start"]), expected[-1])) == expected


@pytest.mark.parametrize(
    ("expression", "named"),
    [(one["expression"], "cron") for one in VECTORS["refused"]]
    + [
        ("0 0 15W * *", "day of month '15W'"),
        ("0 0 * * ?", "weekday '?'"),
        ("0 25 * * *", "hour '25'"),
        ("@reboot", "expected one of @yearly"),
        ("0 0 1 1 * 9", "weekday '9'"),
        ("4-4/0 * * * *", "minute '4-4/0'"),
        ("4-4/ * * * *", "minute '4-4/'"),
        ("0 0 L/2 * *", "day of month 'L/2'"),
        ("0 0 * * 1-JAN", "weekday '1-JAN'"),
        ("0 0 31 4,6 *", "comes true"),
        ("0 0 */31 * MON#2", "comes true"),
        ("٤ * * * *", "minute"),
        ("", "five fields"),
    ],
)
def test_a_bad_expression_is_refused_with_what_was_expected(expression: str, named: str) -> None:
    with pytest.raises(ConfigError, match="expected") as refused:
        cron(expression)
    assert named in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("expression", "same"),
    [
        ("4-4/5 * * * *", "4 * * * *"),
        ("0 0 * * MON-1/2", "0 0 * * MON"),
        ("0 0 * * FRI-SUN", "0 0 * * 0,5,6"),
        ("0 0 * * fri-0", "0 0 * * 5-7"),
        ("0 0 * * SUN-TUE", "0 0 * * 0,1,2"),
        ("0 0 1 JUL/2 *", "0 0 1 7,9,11 *"),
        ("@Daily", "0 0 * * *"),
        ("@hourly", "0 0 * * * *"),
        ("0 0 30 2 MON", "0 0 * 2 MON"),
        ("05  4\t* * *", "5 4 * * *"),
    ],
)
def test_two_ways_to_write_it(expression: str, same: str) -> None:
    start, end = at("2025-03-01"), at("2026-03-01")
    one, other = cron(expression, "UTC"), cron(same, "UTC")
    assert list(one.due_between(start, end)) == list(other.due_between(start, end))
    assert one.expressions[0].follows_clock is other.expressions[0].follows_clock


@pytest.mark.parametrize("name", ["Europe/Praha", "Europe", "../etc/passwd", "", "tzdata.zi", "Europe/Prague\0"])
def test_an_unknown_zone_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="expected the name of a time zone that this host knows"):
        cron("0 0 * * *", name)


def test_a_misspelt_zone_comes_with_a_suggestion() -> None:
    with pytest.raises(ConfigError, match="did you mean 'Europe/Prague'"):
        cron("0 0 * * *", "europe/prague")


@pytest.mark.parametrize("every", [0.0, 0.5, -1.0, float("nan"), float("inf"), 1e12])
def test_an_interval_that_makes_no_sense_is_refused(every: float) -> None:
    with pytest.raises(ConfigError, match="expected a duration"):
        Rule.parse(every=every)


def test_a_rule_is_either_cron_or_every() -> None:
    for crons, every in (((), None), (("* * * * *",), 60.0)):
        with pytest.raises(ConfigError, match="expected either cron"):
            Rule.parse(crons, every)


def test_start_and_end_are_local_and_included() -> None:
    rule = Rule.parse(
        ["0 * * * *"], timezone="Europe/Prague", start=datetime(2026, 12, 1, 8), end=datetime(2026, 12, 1, 10)
    )
    assert list(rule.due_between(at("2020-01-01"), at("2030-01-01"))) == [
        at("2026-12-01T07:00"),
        at("2026-12-01T08:00"),
        at("2026-12-01T09:00"),
    ]
    assert rule.next_after(at("2026-12-01T09:00")) is None


def test_every_counts_from_its_start() -> None:
    rule = Rule.parse(every=5400, timezone="Europe/Prague", start=datetime(2026, 3, 29, 1, 20))
    due = [at("2026-03-29T00:20"), at("2026-03-29T01:50"), at("2026-03-29T03:20")]
    assert list(rule.due_between(at("2020-01-01"), at("2026-03-29T04:00"))) == due


def test_an_end_before_the_first_due_time_never_comes_true() -> None:
    with pytest.raises(ConfigError, match="never comes true"):
        Rule.parse(["0 0 1 1 *"], start=datetime(2026, 2, 1), end=datetime(2026, 12, 1))


def test_several_expressions_are_one_rule_without_doubles() -> None:
    rule = Rule.parse(["0 2 * * *", "30 2 * * *", "0 3 * * *", "*/20 3 * * *"], timezone="Europe/Prague")
    assert following(rule, "2025-03-29T23:00", 3) == ["03-30 03:00+0200", "03-30 03:20+0200", "03-30 03:40+0200"]


@pytest.mark.parametrize("later", [timedelta(0), timedelta(microseconds=1), timedelta(seconds=59)])
def test_next_is_strictly_after(later: timedelta) -> None:
    assert cron("*/5 * * * *").next_after(at("2026-01-01T00:05") + later) == at("2026-01-01T00:10")
    assert cron("5 1 * * *").next_after(at("2026-01-01T00:05") + later) == at("2026-01-02T00:05")


def test_just_before_is_that_one() -> None:
    assert cron("*/5 * * * *").next_after(at("2026-01-01T00:04:59.999999")) == at("2026-01-01T00:05")


def test_the_end_of_the_calendar_ends_the_rule() -> None:
    assert cron("0 0 1 1 *").next_after(at("9999-06-01")) is None
    assert list(cron("0 0 1 1 *").due_between(at("9990-06-01"), datetime.max.replace(tzinfo=UTC)))


def test_a_start_between_the_two_halves_past_two() -> None:
    assert following(cron("30 2 * * *"), "2025-10-26T00:45", 1) == ["10-27 02:30+0100"]
    assert following(cron("*/30 * * * *"), "2025-10-26T00:45", 2) == ["10-26 02:00+0100", "10-26 02:30+0100"]


def test_offsets_that_come_back_within_a_month() -> None:
    """Casablanca's offset is the same before and after Ramadan: the ends of the month tell nothing."""
    rule = cron("*/30 * 1 * *", "Africa/Casablanca")
    found = list(cron("0 * * * *", "Africa/Casablanca").due_between(at("2025-02-20"), at("2025-04-10")))
    assert all(later - earlier == timedelta(hours=1) for earlier, later in pairwise(found))
    assert rule.next_after(at("2025-02-10")) == at("2025-03-01")
    assert following(cron("30 2 6 4 *", "Africa/Casablanca"), "2025-02-01", 1) == ["04-06 03:00+0100"]


def test_half_an_hour_at_lord_howe() -> None:
    assert following(cron("15 2 * * *", "Australia/Lord_Howe"), "2025-10-04T00:00", 2) == [
        "10-05 02:30+1100",
        "10-06 02:15+1100",
    ]
    assert following(cron("45 1 * * *", "Australia/Lord_Howe"), "2025-04-05T00:00", 2) == [
        "04-06 01:45+1100",
        "04-07 01:45+1030",
    ]


def test_a_missing_day_is_told() -> None:
    rule = cron("30 12 * * *", "Pacific/Apia")
    assert dropped(rule, at("2011-12-01"), at("2012-01-31")) == [datetime(2011, 12, 30, 12, 30)]
    assert dropped(rule, at("2012-01-01"), at("2012-01-31")) == []


def dropped(rule: Rule, after: datetime, until: datetime) -> list[datetime]:
    return [doubt.local for doubt in rule.doubts(after, until) if doubt.kind == DROPPED]


def test_what_the_clocks_do_to_a_rule() -> None:
    rule = Rule.parse(["0 2 * * *", "30 2 * * *", "15 * * * *"], timezone="Europe/Prague")
    told = [(doubt.kind, doubt.local.isoformat()) for doubt in rule.doubts(at("2025-01-01"), at("2026-01-01"))]
    assert told == [
        ("moved", "2025-03-30T02:00:00"),
        ("moved", "2025-03-30T02:30:00"),
        ("once", "2025-10-26T02:00:00"),
        ("once", "2025-10-26T02:30:00"),
    ]


def test_02_00_ran_twice_in_autumn() -> None:
    """kubernetes#121594."""
    assert following(cron("0 2 * * *"), "2025-10-25T12:00", 2) == ["10-26 02:00+0200", "10-27 02:00+0100"]


def test_hourly_skipped_the_repeated_hour() -> None:
    """celery#10107."""
    for expression in ("0 * * * *", "@hourly"):
        assert following(cron(expression), "2025-10-25T23:30", 3) == [
            "10-26 02:00+0200",
            "10-26 02:00+0100",
            "10-26 03:00+0100",
        ]


def test_next_previous_and_match_disagreed_at_lord_howe() -> None:
    """croniter#258: from whichever instant it is asked, the same due times come out."""
    for expression in ("*/15 * * * *", "0,15,30,45 1,2 * * *"):
        rule = cron(expression, "Australia/Lord_Howe")
        for day in ("2025-04-05T12:00", "2025-10-04T12:00"):
            start, end = at(day), at(day) + timedelta(hours=6)
            whole = list(rule.due_between(start, end))
            instant = start
            while instant < end:
                assert rule.next_after(instant) == next((due for due in whole if due > instant), rule.next_after(end))
                instant += timedelta(minutes=1)


def test_a_random_delay_drawn_anew_at_each_boot_starved_a_timer() -> None:
    """systemd#21166: the delay is a constant of the schedule and the installation."""
    told = subprocess.run(
        [sys.executable, "-c", "from cronq.schedules.rule import jitter; print(jitter('report', 'id', 600.0))"],
        env={"PYTHONHASHSEED": "7"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(told.stdout) == jitter("report", "id", 600.0)


def test_jitter_is_spread_and_below_its_limit() -> None:
    drawn = [jitter(f"report.{number}", "id", 600.0) for number in range(1000)]
    assert all(0 <= delay < 600 for delay in drawn)
    assert all(any(low <= delay < low + 60 for delay in drawn) for low in range(0, 600, 60))
    assert jitter("report", "other id", 600.0) != jitter("report", "id", 600.0)
    assert jitter("report", "id", 0.0) == 0.0


def test_the_version_of_tzdata_looks_like_one() -> None:
    assert len(tzdata_version()) == 5
    assert tzdata_version()[:4].isdecimal()


def test_words() -> None:
    assert cron("30 2 * * *").words() == "At 02:30 every day, Europe/Prague"
    assert Rule.parse(every=900).words() == "Every 15m"
    assert Rule.parse(every=7000).words() == "Every 7000s"


def test_a_host_without_time_zones_knows_utc() -> None:
    code = (
        "from datetime import UTC, datetime\n"
        "from cronq.schedules.rule import Rule\n"
        "for rule in (Rule.parse(['30 2 * * *']), Rule.parse(every=60)):\n"
        "    print(rule.next_after(datetime(2026, 1, 1, tzinfo=UTC)))\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONTZPATH": "/nowhere"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout == "2026-01-01 02:30:00+00:00\n2026-01-01 00:01:00+00:00\n"
