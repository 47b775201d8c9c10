"""Schedules by the clocks of real processes: over changes of local time, put forward and back, with older zone data."""

from __future__ import annotations

import sqlite3
import zoneinfo
from contextlib import closing
from pathlib import Path

import pytest

from tests import servers
from tests.project import Project

pytestmark = [pytest.mark.needs("faketime"), pytest.mark.slow]

HOURLY_AND_NIGHTLY = """\
database = "sqlite:///cronq.db"
timezone = "Europe/Prague"
[schedules.nightly]
cron = "30 2 * * *"
command = "true"
overlap = "allow"
[schedules.hourly]
cron = "0 * * * *"
command = "true"
overlap = "allow"
catch_up = "none"
"""


class Hosts:
    """Hosts of one queue on SQLite, whose clock the test sets; a host may have time zone data of its own."""

    def __init__(self, project: Project) -> None:
        self.project = project
        project.write("cronq.toml", HOURLY_AND_NIGHTLY)

    def at(self, instant: str, *words: str, zones: Path | None = None) -> str:
        """What a command prints at an instant of UTC, by default a run that takes no jobs."""
        environment = {"LD_PRELOAD": str(servers.FAKETIME), "FAKETIME": f"@{instant}", "TZ": "UTC"}
        if zones:
            environment["PYTHONTZPATH"] = str(zones)
        ran = self.project.cronq(*(words or ("run", "--queue", "none")), env=environment, anew=True)
        assert (ran.status, ran.stderr) == (0, ""), ran
        return ran.stdout

    def decided(self, name: str) -> list[tuple[str, str]]:
        """The ledger of a schedule, oldest first: due time in UTC, outcome."""
        sql = (
            "SELECT strftime('%Y-%m-%d %H:%M', fire_at / 1000000, 'unixepoch'), outcome"
            " FROM cronq_fires WHERE schedule = ? ORDER BY fire_at"
        )
        with closing(sqlite3.connect(self.project.database)) as connection:
            return connection.execute(sql, (name,)).fetchall()

    def enqueued(self, name: str) -> list[str]:
        """The due times that gave a job; each has given one."""
        with closing(sqlite3.connect(self.project.database)) as connection:
            ((jobs,),) = connection.execute("SELECT count(*) FROM cronq_jobs WHERE schedule = ?", (name,)).fetchall()
        found = [due for due, outcome in self.decided(name) if outcome == "enqueued"]
        assert len(found) == jobs
        return found


@pytest.fixture
def hosts(project: Project) -> Hosts:
    return Hosts(project)


@pytest.mark.parametrize(
    ("start", "nightly", "hours"),
    [
        ("2027-03-27 23:50:00", "2027-03-28 01:00", "2027-03-28 0{}:00"),  # 02:30 isn't shown: when the clocks go on
        ("2027-10-30 23:50:00", "2027-10-31 00:30", "2027-10-31 0{}:00"),  # 02:30 is shown twice: the first time
    ],
)
def test_the_clocks_change(hosts: Hosts, start: str, nightly: str, hours: str) -> None:
    hosts.at(start, "schedules", "sync")
    for time in ("00:00:02", "00:30:02", "01:00:02", "02:00:02"):
        hosts.at(f"{nightly[:10]} {time}")
    assert hosts.enqueued("nightly") == [nightly]
    assert hosts.enqueued("hourly") == [hours.format(hour) for hour in range(3)]


def test_a_clock_is_put_forward_and_back(hosts: Hosts) -> None:
    hosts.at("2027-05-01 12:00:00", "schedules", "sync")
    hosts.at("2027-05-15 12:00:01")  # put forward by two weeks
    assert hosts.enqueued("nightly") == ["2027-05-15 00:30"]
    assert hosts.decided("nightly")[0] == ("2027-05-14 00:30", "missed")
    decided = hosts.decided("hourly")
    hosts.at("2027-05-01 13:00:01")  # and back
    assert (hosts.decided("hourly"), len(hosts.enqueued("nightly"))) == (decided, 1)
    told = hosts.at("2027-05-01 13:04:00", "why", "hourly")
    assert 'Schedule "hourly" is silent until 2027-05-15 14:00:00+02:00' in told
    hosts.at("2027-05-01 13:05:00", "schedules", "reset", "hourly")
    hosts.at("2027-05-01 14:00:02")
    assert ("2027-05-01 14:00", "enqueued") in hosts.decided("hourly")


def zones(directory: Path, version: str, prague: str) -> Path:
    """Time zone data of a version, in which Prague has the rules of another zone."""
    found = next(path / prague for path in map(Path, zoneinfo.TZPATH) if (path / prague).exists())
    (directory / "Europe").mkdir(parents=True)
    (directory / "Europe/Prague").write_bytes(found.read_bytes())
    (directory / "tzdata.zi").write_text(f"# version {version}\n")
    return directory


def test_an_older_host_leaves_due_times_to_one_with_newer_zone_data(hosts: Hosts, tmp_path: Path) -> None:
    newer = zones(tmp_path / "newer", "2026b", "Europe/Prague")
    older = zones(tmp_path / "older", "2020a", "Africa/Lagos")  # no summer time: 02:30 is 01:30 in UTC
    hosts.at("2027-06-30 12:00:00", "schedules", "sync", zones=older)
    hosts.at("2027-06-30 14:00:00", zones=newer)  # computes the next due times anew
    for host in (older, newer):
        hosts.at("2027-07-01 00:30:10", zones=host)
    for host in (older, newer):
        hosts.at("2027-07-01 01:30:10", zones=host)
    assert hosts.enqueued("nightly") == ["2027-07-01 00:30"]
    hosts.at("2027-07-02 00:30:10", zones=older)
    assert len(hosts.enqueued("nightly")) == 1
    hosts.at("2027-07-02 00:33:00", zones=older)  # no other host has come
    assert hosts.enqueued("nightly")[1:] == ["2027-07-02 00:30"]
