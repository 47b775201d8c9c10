"""What a schedule's table may say, what it becomes, and how a mistake in it is told."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cronq import Cronq
from cronq.config.loader import load
from cronq.errors import ConfigError
from cronq.model.job import NewJob
from cronq.schedules.definition import KEYS, Definition, hash_of, read, read_all, unite

EVERY_KEY = """\
timezone = "Europe/Prague"

[schedules."report.daily"]
cron = "30 2 * * *"
task = "report"
timezone = "America/New_York"
queue = "reports"
priority = 10
group = "disk"
max_attempts = 3
time_limit = "2h"
jitter = "10m"
catch_up = "all"
catch_up_window = "6h"
catch_up_max = 50
overlap = "allow"
key = "daily"
unique = true
start = "2026-12-01T00:00"
end = 2027-12-01
enabled = false
was = "report.nightly"
alert_after = 2
[schedules."report.daily".args]
region = "eu"
days = [1, 2]

[schedules.backup]
every = "15m"
command = ["/usr/bin/rsync", "-a"]
cwd = "/srv"
"""


def made(**keys: Any) -> Definition:
    return read("report", {"cron": "30 2 * * *", **keys}, where="cronq.toml")


@pytest.fixture
def both(tmp_path: Path) -> list[Definition]:
    (tmp_path / "cronq.toml").write_text(EVERY_KEY)
    return read_all(load(file=str(tmp_path / "cronq.toml"), environ={"HOME": str(tmp_path)}))


def test_every_key_is_taken(both: list[Definition]) -> None:
    backup, report = both
    assert (report.name, report.cron, report.every) == ("report.daily", ("30 2 * * *",), None)
    assert (report.timezone, backup.timezone) == ("America/New_York", "Europe/Prague")
    assert (report.jitter, report.catch_up, report.catch_up_window, report.catch_up_max) == (600, "all", 21600, 50)
    assert (report.overlap, report.enabled, report.was, report.alert_after) == ("allow", False, "report.nightly", 2)
    assert (report.start, report.end) == ("2026-12-01T00:00:00", "2027-12-01T00:00:00")
    assert report.job() == NewJob(
        "report", '{"days":[1,2],"region":"eu"}', "reports", 10, None, "daily", True, "disk", 3, 7200.0
    )
    assert report.rule().next_after(datetime(2026, 11, 1, tzinfo=UTC)) == datetime(2026, 12, 1, 7, 30, tzinfo=UTC)
    assert backup.every == 900
    assert backup.job().args == '{"command":["/usr/bin/rsync","-a"],"cwd":"/srv"}'


def test_the_example_has_every_key() -> None:
    import tomllib

    tables = tomllib.loads(EVERY_KEY)["schedules"]
    assert {*tables["report.daily"], *tables["backup"]} == set(KEYS)


def test_what_is_not_said_is_as_by_default() -> None:
    plain = made()
    assert (plain.task, plain.args, plain.timezone, plain.enabled) == ("report", {}, "UTC", True)
    assert (plain.catch_up, plain.catch_up_window, plain.catch_up_max, plain.overlap) == ("latest", None, 100, "skip")
    assert made(catch_up="none").catch_up_window == 300
    assert (made(catch_up="all").catch_up_window, made(catch_up="all").overlap) == (86400, "queue")


def test_the_ways_not_to_overlap() -> None:
    skip, queue, allow = made().job(), made(overlap="queue").job(), made(overlap="allow").job()
    assert (skip.key, skip.unique, skip.group) == ("schedule:report", True, None)
    assert (queue.key, queue.unique, queue.group) == (None, False, "schedule:report")
    assert (allow.key, allow.unique, allow.group) == (None, False, None)
    assert made(group="disk").job().group == "disk"


def test_the_json_comes_back_as_it_was(both: list[Definition]) -> None:
    for one in [*both, made(args={"ä": [1.5, None, {"b": True}], "day": date(2026, 1, 2)})]:
        again = Definition.from_json(one.name, one.json)
        assert (again.json, again.hash, again.job()) == (one.json, one.hash, one.job())
        assert again.rule().words() == one.rule().words()
        assert one.hash == hash_of(one.json)


def test_the_json_is_the_same_however_it_is_written() -> None:
    one = made(args={"a": 1, "b": 2}, jitter="10m", overlap="skip", start="2026-12-01T00:00")
    other = made(start=datetime(2026, 12, 1), jitter=600, args={"b": 2, "a": 1}, cron=["30  2 * * *"], was="old")
    assert one.json == other.json
    assert made(jitter="11m").hash != made(jitter="10m").hash
    assert json.loads(made().json) == {
        "args": {},
        "catch_up_window": None,
        "cron": ["30 2 * * *"],
        "task": "report",
        "timezone": "UTC",
    }


def test_the_task_s_own_options_fill_what_the_schedule_leaves_open() -> None:
    template = NewJob("report", queue="slow", priority=90, max_attempts=2, time_limit=5.0)
    assert made(priority=1).filled(template).job()[2:4] == ("slow", 1)
    assert made().filled(template).job().time_limit == 5.0


@pytest.mark.parametrize(
    ("keys", "named", "expected"),
    [
        ({"cron": "0 25 * * *"}, "schedules.report: cron", "hour '25': expected 0-23"),
        ({"cron": []}, "schedules.report.cron", "expected an expression"),
        ({"cron": 5}, "schedules.report.cron", "expected an expression"),
        ({"cron": "0 0 30 2 *"}, "schedules.report: cron", "comes true"),
        ({"timezone": "Europe/Praha"}, "schedules.report: timezone", "expected the name of a time zone"),
        ({"every": "15m"}, "schedules.report: every", "expected either cron or every"),
        ({"cronn": "x"}, "schedules.report.cronn", "did you mean 'cron'"),
        ({"jitter": "soon"}, "schedules.report.jitter", "expected a duration"),
        ({"catch_up": "some"}, "schedules.report.catch_up", "expected 'none' or 'latest' or 'all'"),
        ({"overlap": True}, "schedules.report.overlap", "expected 'skip' or 'queue' or 'allow'"),
        ({"catch_up": "all", "overlap": "skip"}, "schedules.report: catch_up", "expected overlap"),
        ({"key": "k", "unique": True}, "schedules.report: unique", "expected overlap"),
        ({"unique": True, "overlap": "allow"}, "schedules.report: unique", "expected a key"),
        ({"group": "g", "overlap": "queue"}, "schedules.report: group", "expected overlap"),
        ({"command": "true", "task": "x"}, "schedules.report: command", "expected either a command"),
        ({"cwd": "/srv"}, "schedules.report: cwd", "expected a command beside it"),
        ({"command": "true", "cwd": "srv"}, "schedules.report.cwd", "expected the absolute path"),
        ({"command": []}, "schedules.report.command", "expected a shell command"),
        ({"args": [1]}, "schedules.report.args", "expected a table of arguments"),
        ({"args": {"a": object()}}, "schedules.report.args", "expected a table of arguments"),
        ({"start": "tomorrow"}, "schedules.report.start", "expected a time such as"),
        ({"start": "2027-01-01", "end": "2026-01-01"}, "schedules.report: end", "never comes true"),
        ({"was": "report"}, "schedules.report: was", "expected its former name"),
        ({"enabled": "no"}, "schedules.report.enabled", "expected true or false"),
        ({"priority": 1000}, "schedules.report.priority", "expected a whole number"),
    ],
)
def test_a_mistake_is_told_with_file_key_and_what_was_expected(keys: dict[str, Any], named: str, expected: str) -> None:
    with pytest.raises(ConfigError) as told:
        made(**keys)
    assert str(told.value).startswith(f"cronq.toml: {named}")
    assert expected in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("name", ["", " a", "a\nb", "x" * 201])
def test_a_name_that_is_none(name: str) -> None:
    with pytest.raises(ConfigError, match="expected a name of 1 to 200 printable characters"):
        read(name, {"cron": "30 2 * * *"}, where="cronq.toml")


def test_neither_cron_nor_every() -> None:
    with pytest.raises(ConfigError, match=r"cronq\.toml: schedules\.report: cron: expected an expression"):
        read("report", {"task": "x"}, where="cronq.toml")


@pytest.mark.parametrize("interval", ["soon", 0, -1, timedelta(milliseconds=1)])
def test_a_bad_interval_above_a_task_is_a_mistake_as_any_other(tmp_path: Path, interval: Any) -> None:
    queue = Cronq(f"sqlite:///{tmp_path}/jobs.db")
    with pytest.raises(ConfigError, match=r"^@queue\.every of t: schedules\.t.*: expected a duration"):
        queue.every(interval)(queue.task(name="t")(lambda: None))


def test_an_interval_above_a_task_is_what_a_duration_is(tmp_path: Path) -> None:
    queue = Cronq(f"sqlite:///{tmp_path}/jobs.db")
    task = queue.task(name="t")(lambda: None)
    for name, interval in (("text", "15m"), ("number", 900), ("timedelta", timedelta(minutes=15))):
        queue.every(interval, name=name)(task)
    assert {definition.every for definition in queue.definitions()} == {900.0}


def test_a_name_declared_twice_names_both_places() -> None:
    other = read("report", {"every": "1h"}, where="shop.jobs:queue")
    with pytest.raises(ConfigError, match=r"shop\.jobs:queue: schedules\.report: .* cronq\.toml declares it too"):
        unite([made()], [other])
    assert [one.name for one in unite([made()], [])] == ["report"]


def test_a_table_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "cronq.toml").write_text('[schedules]\nreport = "30 2 * * *"\n')
    with pytest.raises(ConfigError, match=r"cronq\.toml: schedules\.report: expected a table"):
        load(file=str(tmp_path / "cronq.toml"), environ={"HOME": str(tmp_path)})


def test_a_definition_of_a_newer_version_is_told() -> None:
    for text in ('{"task":"a","args":{},"later":1}', "[]", "{"):
        with pytest.raises(ConfigError, match="this version of cronq understands"):
            Definition.from_json("report", text)
