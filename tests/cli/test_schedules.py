"""Schedules from a shell: declared in cronq.toml and in the app, fired by `cronq run`."""

from __future__ import annotations

import json
import socket
import sqlite3
from contextlib import suppress
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.cli.test_json import fits
from tests.project import APP, CONFIG, Project
from tests.waiting import wait_until

ZONES = ("Europe/Prague", "Pacific/Apia")

EVERY_SECOND = """
[schedules."tick"]
every = "1s"
command = "echo $CRONQ_SCHEDULED_FOR"
timezone = "Europe/Prague"
"""

DECORATED = """

@queue.cron("*/1 * * * * *", overlap="allow")
@queue.every("1h", name="add.hourly", args={"a": 3, "b": 4})
@queue.task(name="when", queue="times")
def when() -> str:
    from cronq import current_job

    return str(current_job().scheduled_for)
"""


@pytest.fixture(autouse=True)
def not_when_it_is_due() -> None:
    """Wait, if a schedule of these tests would become due in the middle of one: at half past two in its zone."""
    wait_until(lambda: not any(map(_is_soon_half_past_two, ZONES)), seconds=240, what="the due time is over")


def _is_soon_half_past_two(zone: str) -> bool:
    return "02:28" <= datetime.now(ZoneInfo(zone)).strftime("%H:%M") <= "02:30"


def run_until_it_fires(project: Project) -> None:
    """Run a few times a second, until a schedule of each second has been declared, has fired and its job has run."""

    def fired() -> bool:
        project.done("run")
        return bool(project.sql("SELECT 1 FROM cronq_jobs WHERE state = 'finished'"))

    wait_until(fired, pause=0.3)


def test_a_schedule_in_the_config_is_fired_by_run(project: Project) -> None:
    project.write("cronq.toml", CONFIG + EVERY_SECOND)
    run_until_it_fires(project)
    shown = project.show(1)
    assert shown["schedule"] == "tick"
    assert shown["scheduled_for"].endswith("Z")
    due = datetime.fromisoformat(shown["scheduled_for"]).replace(microsecond=0)
    assert shown["output"]["stdout"].rstrip() == due.astimezone(ZoneInfo("Europe/Prague")).isoformat()


def test_decorators_declare_schedules_with_the_options_of_their_tasks(project: Project) -> None:
    project.write("jobs.py", APP + DECORATED)
    run_until_it_fires(project)
    (shown, *_) = project.jobs("--queue", "times")
    assert shown["result"].endswith("+00:00")
    ((definition,),) = project.sql("SELECT definition FROM cronq_schedules WHERE name = 'when'")
    assert json.loads(str(definition))["queue"] == "times"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('[schedules."x"]\ncron = "61 * * * *"\ntask = "add"\n', "schedules.x"),
        ('[schedules."x"]\nevery = "1h"\ntimezone = "Europe/Praha"\n', "did you mean 'Europe/Prague'?"),
    ],
)
def test_a_bad_schedule_is_a_configuration_error(project: Project, text: str, named: str) -> None:
    project.write("cronq.toml", CONFIG + text)
    ran = project.cronq("run")
    assert (ran.status, ran.stdout) == (78, "")
    assert named in ran.stderr


def test_a_name_that_the_config_and_the_app_declare_is_refused(project: Project) -> None:
    project.write("jobs.py", APP + DECORATED)
    project.write("cronq.toml", CONFIG + '[schedules."when"]\nevery = "1h"\n')
    ran = project.cronq("run")
    assert ran.status == 78
    assert "expected one schedule of this name" in ran.stderr


def test_a_removed_schedule_is_no_more_due(project: Project) -> None:
    project.write("cronq.toml", CONFIG + EVERY_SECOND)
    project.done("run")
    project.write("cronq.toml", CONFIG)
    project.done("run")
    assert project.sql("SELECT next_at, due_at FROM cronq_schedules") == [(None, None)]
    assert project.sql("SELECT count(*) FROM cronq_declarations") == [(0,)]


# The commands

TIDY = """
[schedules."tidy"]
cron = "30 2 * * *"
task = "add"
timezone = "Europe/Prague"
catch_up = "none"
[schedules."tidy".args]
a = 1
b = 2
"""


def shown(project: Project, *words: str) -> Any:
    """What a command on schedules prints with --json, which must be as its schema says."""
    return fits(
        f"schedules-{words[0]}.json" if words else "schedules.json", project.done("schedules", *words, "--json")
    )


def test_a_schedule_in_the_hands_of_a_person(project: Project) -> None:
    project.write("cronq.toml", CONFIG + TIDY)
    assert shown(project, "sync") == ["tidy"]
    assert [(one["name"], one["state"]) for one in shown(project)] == [("tidy", "active")]
    paused = shown(project, "pause", "tidy", "--reason", "moving")
    assert (paused["state"], paused["paused"]["reason"]) == ("paused", "moving")
    assert shown(project, "resume", "tidy", "--catch-up") == []
    (ran,) = shown(project, "run", "tidy")
    assert project.show(ran["job_id"])["schedule"] == "tidy"
    refused = project.cronq("schedules", "run", "tidy")
    assert (refused.status, refused.stderr) == (
        1,
        "cronq: not enqueued: job 1 is unfinished (--force enqueues another one)\n",
    )
    days = ("--from", "2026-03-28T00:00Z", "--to", "2026-03-30T12:00Z")
    assert len(shown(project, "replay", "tidy", *days, "--dry-run")) == 3
    assert [one["due_at"][:16] for one in shown(project, "replay", "tidy", *days)] == [
        "2026-03-28T01:30",
        "2026-03-29T01:00",  # the clocks skip 02:30
        "2026-03-30T00:30",
    ]
    whole = shown(project, "show", "tidy")
    assert [one["reason"] for one in whole["decisions"]] == ["run by hand", *["replayed"] * 3]
    assert shown(project, "missed", "tidy") == []
    assert shown(project, "reset", "tidy")["state"] == "active"
    project.write("cronq.toml", CONFIG)
    assert shown(project, "sync") == ["tidy"]
    assert [one["state"] for one in shown(project)] == ["undeclared"]
    assert shown(project, "remove", "tidy") == {"removed": "tidy"}
    assert shown(project) == []


def test_times_without_an_offset_are_of_the_schedules_zone(project: Project) -> None:
    zone = "Pacific/Apia"  # far from every host's zone, without daylight saving time
    project.write("cronq.toml", CONFIG + TIDY.replace("Europe/Prague", zone))
    project.done("schedules", "sync")
    paused = shown(project, "pause", "tidy", "--until", "2050-03-01T13:00")
    assert paused["paused"]["until"][:19] == "2050-03-01T00:00:00"
    paused = shown(project, "pause", "tidy", "--until", "13:00")
    assert paused["paused"]["until"][11:19] == "00:00:00"
    days = ("--from", "2026-05-02T02:30", "--to", "2026-05-03")
    assert shown(project, "replay", "tidy", *days, "--dry-run") == ["2026-05-01T13:30:00.000000Z"]
    (due,) = shown(project, "next", "tidy", "--from", "2026-05-02T02:30", "--count", "1")["due"]
    assert due["due_at"][:16] == "2026-05-02T13:30"
    project.write("cronq.toml", f'timezone = "{zone}"\n{CONFIG}{TIDY}'.replace("Europe/Prague", zone))
    days = ("--from", "2026-05-02T02:00", "--to", "2026-05-02T03:00")
    assert [one["hour"][:13] for one in shown(project, "simulate", *days)["hours"] if one["jobs"]] == ["2026-05-01T13"]


def test_times_in_the_wrong_order_and_pauses_that_are_over_are_refused(project: Project) -> None:
    project.write("cronq.toml", CONFIG + TIDY)
    project.done("schedules", "sync")
    days = ("--from", "2026-05-03", "--to", "2026-05-01")
    for dry in ((), ("--dry-run",)):
        ran = project.cronq("schedules", "replay", "tidy", *days, *dry)
        assert (ran.status, ran.stderr) == (65, "cronq: --to: expected a time after --from\n")
    ran = project.cronq("schedules", "pause", "tidy", "--until", "2020-01-01")
    assert (ran.status, ran.stderr) == (65, "cronq: --until: '2020-01-01': expected a time that is still to come\n")
    assert [one["state"] for one in shown(project)] == ["active"]


def test_what_is_not_there_is_told_with_a_suggestion(project: Project) -> None:
    project.write("cronq.toml", CONFIG + TIDY)
    project.done("schedules", "sync")
    for verb in ("show", "run", "pause", "resume", "reset", "remove", "missed"):
        ran = project.cronq("schedules", verb, "tidi")
        assert (ran.status, ran.stderr) == (1, "cronq: there is no schedule 'tidi', did you mean 'tidy'?\n")


def test_with_declare_sync_only_sync_declares(project: Project) -> None:
    project.write("cronq.toml", f'declare = "sync"\n{CONFIG}{TIDY}')
    project.done("run")
    assert shown(project) == []
    assert shown(project, "sync") == ["tidy"]
    assert shown(project)[0]["declared_by"] == ["*"]


@pytest.mark.parametrize("declare", ["auto", "sync"])
@pytest.mark.parametrize("wrong", ["cron =", '[schedules."tidy"]', "[schedules.other"])
def test_a_mistake_in_the_schedules_ends_the_next_run_and_any_other_command(
    project: Project, declare: str, wrong: str
) -> None:
    config = f'declare = "{declare}"\n{CONFIG}{TIDY}'
    project.write("cronq.toml", config)
    project.done("run")
    project.done("run")
    project.write("cronq.toml", config + wrong)
    for command in ("run", "run", "status", "work"):
        ran = project.cronq(command)
        assert (ran.status, ran.stdout) == (78, "")
        assert "cronq.toml: expected TOML: " in ran.stderr
    project.write("cronq.toml", config)
    project.done("run")


def test_what_changes_in_the_schedules_is_declared_by_the_next_run(project: Project) -> None:
    project.write("cronq.toml", CONFIG + TIDY)
    project.done("run")
    project.done("run")
    project.write("cronq.toml", CONFIG + TIDY.replace("30 2", "31 2").replace("b = 2", "b = 3"))
    project.done("run")
    definition = shown(project, "show", "tidy")["definition"]
    assert (definition["cron"], definition["args"]) == (["31 2 * * *"], {"a": 1, "b": 3})


def test_a_transport_wakes_others_for_what_a_run_with_a_filter_fires(project: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(2)
        wake = f'wake = "tcp://127.0.0.1:{server.getsockname()[1]}"\n'
        project.write("cronq.toml", CONFIG.replace('app = "jobs:queue"\n', wake) + EVERY_SECOND)
        project.done("run", "--queue", "others")

        def woken() -> bytes | None:
            """What a run sends; it sends nothing if no second has passed since the declaration."""
            with suppress(TimeoutError), project.start("run", "--queue", "others"):
                client, _ = server.accept()
                with client:
                    return client.recv(32)
            return None

        assert wait_until(woken, seconds=60) == b"1\n"


def test_a_worker_wakes_for_each_due_time(project: Project) -> None:
    project.write("cronq.toml", CONFIG + EVERY_SECOND.replace('"1s"', '"2s"'))
    with project.start("work", "--poll", "10m") as worker:
        try:
            wait_until(lambda: len(ended(project)) > 2, seconds=60, what="three due times were fired and run")
        finally:
            worker.terminate()
            worker.communicate()
    late = project.sql("SELECT max(late) FROM cronq_fires WHERE outcome = 'enqueued'")
    assert late[0][0] < 30_000_000


def ended(project: Project) -> list[tuple[Any, ...]]:
    if not project.database.exists():
        return []
    try:
        return project.sql("SELECT id FROM cronq_jobs WHERE state = 'finished' AND schedule = 'tick'")
    except sqlite3.OperationalError:  # no tables yet, or locked
        return []
