"""The next due times as `cronq schedules next` shows them, and what `cronq schedules check` says of a file."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from cronq.schedules import forecast
from cronq.schedules.forecast import foresee
from cronq.schedules.rule import Rule
from tests.cli.test_json import fits
from tests.project import APP, CONFIG, Project

SCHEDULES = """\
database = "sqlite:///nowhere/at/all.db"
[schedules."report.daily"]
cron = "30 2 * * *"
timezone = "Europe/Prague"
[schedules.tidy]
cron = "*/7 2 */2 * MON"
[schedules.weekly]
cron = "0 9 1,15 * FRI"
timezone = "Asia/Tokyo"
[schedules.often]
every = "7m"
"""


def shown(expression: str, zone: str, start: str, count: int) -> list[tuple[str, str | None]]:
    rule = Rule.parse([expression], timezone=zone)
    found = foresee(rule, datetime.fromisoformat(start).replace(tzinfo=UTC), count=count)
    return [(f"{rule.zone.local(one.due):%d %H:%M}" if one.due else "-", one.change) for one in found]


@pytest.mark.parametrize(
    ("expression", "zone", "start", "expected"),
    [
        ("30 2 * * *", "Europe/Prague", "2027-03-27", [("27 02:30", None), ("28 03:00", "moved"), ("29 02:30", None)]),
        ("30 2 * * *", "Europe/Prague", "2027-10-30", [("30 02:30", None), ("31 02:30", "once"), ("01 02:30", None)]),
        (
            "0 * * * *",
            "Europe/Prague",
            "2027-10-30T23:30",
            [("31 02:00", None), ("31 02:00", None), ("31 03:00", None)],
        ),
        ("30 12 * * *", "Pacific/Apia", "2011-12-29T12:00", [("29 12:30", None), ("-", "dropped"), ("31 12:30", None)]),
    ],
)
def test_changes_of_the_clocks_are_marked(
    expression: str, zone: str, start: str, expected: list[tuple[str, str | None]]
) -> None:
    due = len([one for one in expected if one[0] != "-"])
    assert shown(expression, zone, start, due) == expected


def test_the_calendar_ends_without_an_error() -> None:
    assert shown("30 2 * * *", "Europe/Prague", "9999-12-30T12:00", 5) == [("31 02:30", None)]


def test_a_rule_that_is_over_has_no_due_times() -> None:
    rule = Rule.parse(every=60, end=datetime(2026, 1, 1))
    assert list(foresee(rule, datetime(2026, 1, 1, tzinfo=UTC), count=5)) == []


@pytest.mark.parametrize("at_once", [1, 2, 7, 24])
@pytest.mark.parametrize(
    ("expression", "zone", "start"),
    [
        ("30 * * * *", "Pacific/Apia", "2011-12-28"),
        ("*/20 1-3 * * *", "Europe/Prague", "2027-03-26"),
        ("*/20 1-3 * * *", "Europe/Prague", "2027-10-29"),
        ("30 12 * * *", "Pacific/Apia", "2011-12-25"),
    ],
)
def test_each_part_says_the_same_as_all_at_once(
    expression: str, zone: str, start: str, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = shown(expression, zone, start, 60)
    monkeypatch.setattr(forecast, "AT_ONCE", at_once)
    assert shown(expression, zone, start, 60) == whole


@pytest.fixture
def planned(project: Project) -> Project:
    project.write("cronq.toml", SCHEDULES)
    return project


def test_next_of_a_schedule_needs_no_database(planned: Project) -> None:
    ran = planned.cronq("schedules", "next", "report.daily", "--from", "2027-03-28", "--count", "1")
    assert (ran.status, ran.stderr) == (0, "")
    assert ran.stdout == (
        "Sun 2027-03-28 03:00:00 +0200\t2027-03-28T01:00:00Z\tthe clocks skip 02:30: due when they go on\n"
    )


def test_next_as_json(planned: Project) -> None:
    words = ("schedules", "next", "report.daily", "--timezone", "UTC", "--from", "2027-01-01", "--json", "--count=2")
    found = fits("schedules-next.json", planned.cronq(*words).stdout)
    assert (found["schedule"], found["timezone"]) == ("report.daily", "UTC")
    assert [one["due_at"] for one in found["due"]] == ["2027-01-01T02:30:00.000000Z", "2027-01-02T02:30:00.000000Z"]
    dropped = ("schedules", "next", "30 12 * * *", "--timezone=Pacific/Apia", "--from=2011-12-29T13:00", "--json")
    document = fits("schedules-next.json", planned.cronq(*dropped).stdout)
    assert [one["change"] for one in document["due"][:2]] == ["dropped", None]


def test_next_of_an_interval(planned: Project) -> None:
    ran = planned.cronq("schedules", "next", "90m", "--from", "2025-03-30T00:50", "--count", "2")
    assert [line.split("\t")[1] for line in ran.stdout.splitlines()] == ["2025-03-30T01:30:00Z", "2025-03-30T03:00:00Z"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("report.dayly",), "did you mean 'report.daily'?"),
        (("0 25 * * *",), "hour '25': expected 0-23"),
        (("@reboot",), "expected one of @yearly"),
        (("@daily", "--timezone", "Europe/Praha"), "expected the name of a time zone"),
        (("@daily", "--from", "soon"), "--from"),
        (("@daily", "--count", "-1"), "--count"),
    ],
)
def test_next_refuses_in_one_line(planned: Project, words: tuple[str, ...], told: str) -> None:
    ran = planned.cronq("schedules", "next", *words)
    assert ran.status in (64, 65)
    assert told in ran.stderr
    assert ran.stderr.count("\n") == 1


def test_check_warns(planned: Project) -> None:
    ran = planned.cronq("schedules", "check")
    assert (ran.status, ran.stderr) == (0, "")
    said = ran.stdout.splitlines()
    assert [line for line in said if line.startswith("often")] == []
    assert any(line.startswith("report.daily: ") and "doesn't exist in Europe/Prague" in line for line in said)
    for piece in ("minute */7 starts anew", "AND weekday MON", "hour 2 is one of UTC", "day of month */2 starts anew"):
        assert any(line.startswith("tidy: ") and piece in line for line in said), piece
    assert [line for line in said if line.startswith("weekly")] == [
        "weekly: '0 9 1,15 * FRI': day of month 1,15 OR weekday FRI is enough, as in cron"
    ]
    assert not (planned.directory / "nowhere").exists()


def test_check_tells_every_error(planned: Project) -> None:
    broken = '[schedules.a]\ncron = "0 25 * * *"\n[schedules.b]\nevery = "1h"\n[schedules.c]\ncronn = "x"\n'
    path = planned.write("ci/broken.toml", broken)
    ran = planned.cronq("schedules", "check", "ci/broken.toml")
    assert ran.status == 78
    assert [line.split(": ")[:3] for line in ran.stderr.splitlines()] == [
        ["cronq", str(path), "schedules.a"],
        ["cronq", str(path), "schedules.c.cronn"],
    ]
    found: Any = fits("schedules-check.json", planned.cronq("schedules", "check", "ci/broken.toml", "--json").stdout)
    assert (found["schedules"], [one["schedule"] for one in found["errors"]]) == (3, ["a", "c"])


def test_check_of_what_is_no_toml(planned: Project) -> None:
    planned.write("broken.toml", "[schedules")
    ran = planned.cronq("schedules", "check", "broken.toml")
    assert (ran.status, ran.stdout) == (78, "")
    assert json.dumps("expected TOML")[1:-1] in ran.stderr


DECORATED = (
    APP
    + """

@queue.cron("*/7 2 * * *", timezone="Europe/Prague")
@queue.every("1h", name="add.wrong", args={"a": 3, "c": 4})
@queue.task(name="when")
def when() -> None: ...
"""
)


def test_check_imports_the_app(project: Project) -> None:
    project.write("jobs.py", DECORATED)
    project.write("cronq.toml", CONFIG + '[schedules.unknown]\nevery = "1h"\n[schedules.add]\nevery = "2h"\n')
    ran = project.cronq("schedules", "check")
    assert (ran.status, ran.stderr) == (0, "")
    told = [line.partition(": ") for line in ran.stdout.splitlines()]
    assert {name for name, _, _ in told} == {"when", "unknown", "add", "add.wrong"}
    messages = {name: message for name, _, message in told}
    assert "unknown task 'unknown'" in messages["unknown"]
    assert "b" in messages["add"]
    assert "'c'" in messages["add.wrong"]
    assert any("minute */7 starts anew" in message for name, _, message in told if name == "when")
    assert not project.database.exists()
    found: Any = fits("schedules-check.json", project.cronq("schedules", "check", "--json").stdout)
    assert (found["schedules"], found["errors"]) == (4, [])


def test_check_refuses_what_the_app_declares_wrongly(project: Project) -> None:
    project.write("jobs.py", DECORATED)
    twin = '[schedules.when]\nevery = "1h"\n[schedules.broken]\ncron = "61 * * * *"\n'
    project.write("cronq.toml", CONFIG + twin)
    ran = project.cronq("schedules", "check")
    assert ran.status == 78
    broken, declared_twice = ran.stderr.splitlines()
    assert "schedules.broken: cron '61 * * * *'" in broken
    assert "schedules.when: expected one schedule of this name" in declared_twice
    project.write("jobs.py", DECORATED.replace("*/7 2 * * *", "61 2 * * *"))
    ran = project.cronq("schedules", "check")
    assert ran.status == 78
    assert "jobs.py:" in ran.stderr
    assert "cron '61 2 * * *': minute '61'" in ran.stderr
    (_, of_app) = fits("schedules-check.json", project.cronq("schedules", "check", "--json").stdout)["errors"][::-1]
    assert of_app["schedule"] is None


def test_next_and_simulate_know_what_the_app_declares(project: Project) -> None:
    project.write("jobs.py", DECORATED)
    ran = project.cronq("schedules", "next", "when", "--from", "2027-01-01T02:50", "--count", "1")
    assert ran.stdout == "Fri 2027-01-01 02:56:00 +0100\t2027-01-01T01:56:00Z\t\n"
    words = ("schedules", "simulate", "--from", "2027-01-01", "--to", "+2h", "--json")
    found = fits("schedules-simulate.json", project.cronq(*words).stdout)
    assert {one["schedule"]: one["jobs"] for one in found["schedules"]} == {"when": 9, "add.wrong": 3}
