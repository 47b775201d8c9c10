"""What `cronq schedules simulate` foresees."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cronq.errors import InvalidInput
from cronq.schedules.definition import Definition, read
from cronq.schedules.simulation import SimulatedSchedule, Simulation, changed
from tests.cli.test_json import fits
from tests.project import Project
from tests.waiting import wait_until

START = datetime(2027, 3, 28, tzinfo=UTC)


def named(name: str, **keys: Any) -> Definition:
    return read(name, keys, where="cronq.toml")


def simulated(*schedules: SimulatedSchedule, hours: int = 6) -> Simulation:
    return Simulation(schedules, START, START + timedelta(hours=hours))


def at(hour: int, minute: int = 0) -> datetime:
    return START + timedelta(hours=hour, minutes=minute)


def test_jobs_and_busy_time_by_the_hour() -> None:
    found = simulated(
        SimulatedSchedule(named("a", cron="30 1 * * *"), timedelta(minutes=45)),
        SimulatedSchedule(named("b", every="2h")),
    )
    assert found.hours == {at(0): 1, at(1): 1, at(2): 1, at(3): 0, at(4): 1, at(5): 0, at(6): 1}
    assert (found.busy[at(1)], found.busy[at(2)]) == (timedelta(minutes=30), timedelta(minutes=15))
    assert found.busy[at(4)] == timedelta(0)
    assert found.jobs == {"a": 1, "b": 4}


def test_the_fullest_minutes() -> None:
    found = simulated(
        *(SimulatedSchedule(named(name, cron="0 3 * * *")) for name in "abc"),
        SimulatedSchedule(named("d", cron="0 3,4 * * *")),
    )
    assert found.fullest == [(at(3), 4)]


@pytest.mark.parametrize(("overlap", "times", "jobs"), [("skip", 3, 4), ("queue", 6, 7), ("allow", 6, 7)])
def test_overlaps_by_what_happens_then(overlap: str, times: int, jobs: int) -> None:
    found = simulated(SimulatedSchedule(named("a", every="1h", overlap=overlap), timedelta(minutes=61)))
    assert [(one.times, one.first) for one in found.overlaps] == [(times, at(1))]
    assert found.jobs["a"] == jobs


def test_doubtful_local_times() -> None:
    found = simulated(SimulatedSchedule(named("a", cron="30 2 * * *", timezone="Europe/Prague")))
    assert [(name, doubt.kind, doubt.at) for name, doubt in found.doubts] == [("a", "moved", at(1))]


def test_what_is_disabled_is_left_out() -> None:
    assert simulated(SimulatedSchedule(named("a", every="1h", enabled=False))).jobs == {}


def test_too_many_due_times_are_refused() -> None:
    with pytest.raises(InvalidInput, match="expected a shorter time"):
        simulated(SimulatedSchedule(named("a", every=1)), hours=300)


def test_set_changes_a_definition() -> None:
    before = {"report.daily": named("report.daily", cron="30 2 * * *")}
    after = changed(before, ["report.daily.every=90m", "report.daily.jitter=5m"])["report.daily"]
    assert (after.every, after.cron, after.jitter) == (5400, (), 300)
    assert changed(before, ["report.daily.enabled=false"])["report.daily"].enabled is False
    assert before["report.daily"].every is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("report.daily.cron", "expected NAME.KEY=VALUE"),
        ("report.daily.args=1", "expected NAME.KEY=VALUE"),
        ("cron=1", "'' is none of the schedules report.daily"),
        ("other.cron=@daily", "'other' is none of the schedules"),
        ("report.daily.cron=0 25 * * *", "hour '25': expected"),
        ("report.daily.every=soon", "expected a duration"),
    ],
)
def test_set_refuses_what_makes_no_sense(text: str, told: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        changed({"report.daily": named("report.daily", cron="30 2 * * *")}, [text])
    assert told in str(refused.value)


TOML = """\
database = "sqlite:///cronq.db"
[schedules.slow]
every = "1s"
command = "sleep 0.3"
"""


def test_durations_come_from_the_past(project: Project) -> None:
    project.write("cronq.toml", TOML)
    wait_until(lambda: _finished(project), seconds=60, what="the first job of the schedule")
    words = ("schedules", "simulate", "--from", "2027-01-01", "--to", "+59m", "--json")
    found = fits("schedules-simulate.json", project.cronq(*words).stdout)
    assert found["schedules"][0]["duration"] >= 0.3
    assert found["hours"][0]["jobs"] == 59 * 60 + 1
    assert found["hours"][0]["busy"] >= 59 * 60 * 0.3
    stored = project.cronq(
        "--config", str(project.write("other.toml", TOML.partition("[")[0])), "schedules", "next", "slow"
    )
    assert len(stored.stdout.splitlines()) == 20


def _finished(project: Project) -> bool:
    project.cronq("run")
    return "finished" in project.cronq("ls", "--state", "finished").stdout


def test_without_a_database(project: Project) -> None:
    project.write("cronq.toml", TOML.replace('"1s"', '"1h"') + 'overlap = "queue"\n')
    ran = project.cronq("schedules", "simulate", "--from", "2027-01-01", "--to", "+90m")
    assert (ran.status, ran.stdout) == (0, "hour\t2027-01-01T00:00:00Z\t1\t0\nhour\t2027-01-01T01:00:00Z\t1\t0\n")
    assert not project.database.exists()
    assert project.cronq("schedules", "simulate", "--from", "+2h", "--to", "2020-01-01").status == 65
