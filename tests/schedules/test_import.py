"""Crontabs as schedules: real ones, every form of a line, and what is said of what can't be carried over."""

from __future__ import annotations

import subprocess
import tomllib
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from cronq.config.loader import load
from cronq.schedules.cron_daemon import CronDaemon
from cronq.schedules.crontab import Crontab
from cronq.schedules.definition import read_all
from cronq.schedules.importing import Import, host_timezone
from cronq.schedules.rule import Rule
from tests.project import Project
from tests.scale import times

CRONTAB = r"""# edited by hand
SHELL=/bin/bash
MAILTO="ops@example.org"
 PATH = '/usr/local/bin:/usr/bin:/bin'
CRON_TZ=Europe/Prague
RANDOM_DELAY=10

*/15 * * * * /usr/local/bin/poll.sh >/dev/null 2>&1
30 2 * * mon-fri  /opt/backup/run --date=$(date +\%F) && echo "it's done"
@reboot /usr/bin/start-me
@daily	mail -s "Hello" ann%Dear Ann,%it is 100\% done
0 25 * * * wrong
7 7 * * *
0~59 3 * * * random
5-55/10 1 1 JAN-JUN/2 * half.py
-5 4 * * sun echo quiet
"""


def imported(text: str, *, system: bool = False) -> Import:
    return Import(Crontab(text, system=system), source="tab", timezone="UTC")


def tables(text: str, *, system: bool = False) -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads(imported(text, system=system).toml())["schedules"]
    return found


def lost(made: Import) -> list[int]:
    return [note.line for note in made.notes if note.lost]


def test_each_form_of_a_line() -> None:
    found = tables(CRONTAB)
    env = ["/usr/bin/env", "PATH=/usr/local/bin:/usr/bin:/bin", "/bin/bash", "-c"]
    assert {name: table["cron"] for name, table in found.items()} == {
        "poll": "*/15 * * * *",
        "run": "30 2 * * mon-fri",
        "mail": "@daily",
        "half": "5-55/10 1 1 JAN-JUN/2 *",
        "echo": "5 4 * * sun",
    }
    assert found["poll"] == {
        "cron": "*/15 * * * *",
        "command": [*env, "/usr/local/bin/poll.sh >/dev/null 2>&1"],
        "timezone": "Europe/Prague",
        "jitter": "10m",
        "catch_up": "none",
        "overlap": "allow",
        "max_attempts": 1,
        "time_limit": "1d",
    }
    assert found["run"]["command"][-1] == '/opt/backup/run --date=$(date +%F) && echo "it\'s done"'


def test_what_is_not_carried_over_is_told_by_line() -> None:
    made = imported(CRONTAB)
    assert lost(made) == [10, 12, 13, 14]
    told = {note.line: note.text for note in made.notes}
    assert "MAILTO=ops@example.org" in told[3]
    assert "became jitter" in told[6]
    assert "@reboot" in told[10]
    assert "hour '25': expected 0-23" in told[12]
    assert "expected five fields" in told[13]
    assert "minute '0~59'" in told[14]


def test_a_variable_holds_for_the_lines_below_it() -> None:
    found = tables(
        "* * * * * one\nA=1\n* * * * * two\nA=2\nB='x y'\n* * * * * three\nCRON_TZ=Asia/Tokyo\n@daily four\n"
    )
    assert found["one"]["command"] == "one"
    assert found["two"]["command"] == ["/usr/bin/env", "A=1", "/bin/sh", "-c", "two"]
    assert found["three"]["command"] == ["/usr/bin/env", "A=2", "B=x y", "/bin/sh", "-c", "three"]
    assert [found[name]["timezone"] for name in ("one", "three", "four")] == ["UTC", "UTC", "Asia/Tokyo"]


@pytest.mark.parametrize(
    ("line", "output"),
    [
        ("* * * * * cat%one%two", "one\ntwo\n"),
        (r"* * * * * echo 50\%", "50%\n"),
        (r"* * * * * cat%50\% off%it's \"so\"", '50% off\nit\'s \\"so\\"\n'),
        (r"* * * * * cat # all%a", "a\n"),
        ("* * * * * cat%", ""),
        (r"* * * * * /bin/echo 'a\\b'", "a\\\\b\n"),
        ('GREETING=hello you\n* * * * * echo "$GREETING"', "hello you\n"),
        ("SHELL=/bin/bash\n* * * * * [[ a == a ]] && echo yes", "yes\n"),
    ],
)
def test_the_command_does_what_cron_s_did(line: str, output: str) -> None:
    (table,) = tables(line).values()
    command = table["command"]
    ran = subprocess.run(
        ["/bin/sh", "-c", command] if isinstance(command, str) else command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout == output


def test_a_home_is_the_directory_in_which_a_command_starts() -> None:
    (table,) = tables("HOME=/srv/data\n@daily tidy\n").values()
    assert (table["cwd"], table["command"][1]) == ("/srv/data", "HOME=/srv/data")


def test_the_user_of_a_system_crontab_is_told() -> None:
    made = imported("17 * * * * root cd / && run-parts --report /etc/cron.hourly\n@daily www-data tidy\n", system=True)
    assert [(one.definition.name, one.job.user) for one in made.schedules] == [
        ("cron.hourly", "root"),
        ("tidy", "www-data"),
    ]
    assert [note.text.partition(";")[0] for note in made.notes] == ["cron.hourly ran as root", "tidy ran as www-data"]
    assert lost(imported("17 * * * * root\n", system=True)) == [1]


def test_names_are_told_apart() -> None:
    names = list(tables("@daily /a/tidy.sh\n@hourly tidy\n@weekly [ -x /usr/bin/tidy ] && tidy\n@monthly cd /\n"))
    assert names == ["tidy", "tidy-2", "tidy-3", "job"]


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("flock -n /tmp/lock report --daily", "report"),
        ("flock -w 10 /tmp/lock /opt/report.sh", "report"),
        ("timeout -k 5 10m nice -n 10 rsync -a a b", "rsync"),
        ("sudo -u www php /srv/shop/cron.php", "cron"),
        ("sleep 30; 7z a backup.7z /srv 2>&1", "7z"),
        ("chronic env A=1 backup >/dev/null 2>errors", "backup"),
    ],
)
def test_the_name_is_that_of_the_program_that_works(command: str, name: str) -> None:
    assert list(tables(f"@daily {command}\n")) == [name]


def test_a_zone_that_is_none_is_told() -> None:
    made = imported("CRON_TZ=Europe/Praha\n@daily tidy\n")
    assert lost(made) == [2]
    assert "expected the name of a time zone" in made.notes[0].text


SYSTEM_CRONTABS = [path for path in (Path("/etc/crontab"), *Path("/etc/cron.d").glob("[a-z]*")) if path.is_file()]


@pytest.mark.needs("cron")
@pytest.mark.parametrize("path", SYSTEM_CRONTABS, ids=str)
def test_debian_s_own_crontabs(path: Path, project: Project) -> None:
    ran = project.cronq("schedules", "import", str(path), "--system", "--timezone", "Europe/Prague")
    assert ran.status == 0, ran.stderr
    jobs = [line for line in path.read_text().splitlines() if line[:1].isdigit() or line[:1] in ("*", "@")]
    assert len(tomllib.loads(ran.stdout).get("schedules", {})) == len(jobs)
    project.write("cronq.toml", ran.stdout)
    assert project.cronq("schedules", "check").status == 0
    verified = project.cronq("schedules", "import", str(path), "--verify", "--timezone", "Europe/Prague")
    assert (verified.status, verified.stdout) == (0, f"{len(jobs)} schedules compared, 0 differ\n")


def test_a_crontab_from_stdin(project: Project) -> None:
    path = project.write("tab", CRONTAB)
    script = (
        f"cronq schedules import - --verify <{path}; echo $?; cronq schedules import - <{path} >cronq.toml 2>/dev/null"
    )
    ran = subprocess.run(
        ["sh", "-c", script],
        cwd=project.directory,
        env=project.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.stdout == "5 schedules compared, 0 differ\n1\n"
    assert "cronq: stdin:10: not carried over: @reboot" in ran.stderr
    found = read_all(load(file=str(project.directory / "cronq.toml"), environ={"HOME": str(project.home)}))
    assert [one.name for one in found] == ["echo", "half", "mail", "poll", "run"]


def test_a_file_that_is_not_there_or_no_text(project: Project) -> None:
    assert project.cronq("schedules", "import", "nowhere").status == 74
    (project.directory / "binary").write_bytes(b"* * * * * a\n\xff\n")
    ran = project.cronq("schedules", "import", "binary")
    assert (ran.status, ran.stderr) == (65, "cronq: binary: expected UTF-8, line 2 is not\n")


def test_this_host_says_its_time_zone() -> None:
    zone = host_timezone()
    assert zone is None or ZoneInfo(zone).key == zone


@settings(max_examples=times(40, full=100), deadline=None, derandomize=True, phases=[Phase.generate])
@given(
    minute=st.sampled_from(["*", "*/20", "0", "30", "5,45", "10-50/20"]),
    hour=st.sampled_from(["*", "*/3", "0", "1", "2", "3", "1-3", "2,14"]),
    day=st.sampled_from(["*", "*/2", "1", "1,31", "2-5"]),
    weekday=st.sampled_from(["*", "0", "7", "1-5", "*/2", "sun", "fri-sun"]),
    zone=st.sampled_from(
        ["Europe/Prague", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "America/Havana", "Asia/Gaza"]
    ),
)
def test_the_rule_does_what_cron_s_main_loop_does(minute: str, hour: str, day: str, weekday: str, zone: str) -> None:
    expression = f"{minute} {hour} {day} * {weekday}"
    start = datetime(2025, 1, 15, tzinfo=UTC)
    cron = list(islice(CronDaemon(expression, zone).starts(start), 400))
    rule = Rule.parse([expression], timezone=zone)
    assert list(islice(rule.following(start), len(cron))) == cron


def test_a_difference_is_found() -> None:
    start = datetime(2025, 1, 15, tzinfo=UTC)
    cron = list(islice(CronDaemon("0 * * * *", "Europe/Prague").starts(start), 8000))
    fixed = Rule.parse([f"0 {','.join(map(str, range(24)))} * * *"], timezone="Europe/Prague")
    assert list(islice(fixed.following(start), 8000)) != cron
