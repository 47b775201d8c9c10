"""`cronq run` of a Django project: from an enqueue in a request to a result, with real processes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.django.sites import Site, migrated
from tests.waiting import wait_until


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A migrated project on SQLite."""
    return migrated(tmp_path)


def enqueue(site: Site, *calls: str) -> list[str]:
    """The ids of new jobs."""
    asked = "\n".join(f"print({call}.id)" for call in calls)
    return site.python(f"from shop.tasks import *\n{asked}").split()


def results(site: Site, ids: list[str]) -> list[list[Any]]:
    """Status, value, errors' classes and workers of jobs."""
    code = (
        "import json\nfrom cronq.django.api import task_backends\n"
        f"found = [task_backends['default'].get_result(one) for one in {ids!r}]\n"
        "[error.exception_class for one in found for error in one.errors]\n"
        "print(json.dumps([[str(r.status), r._return_value, [e.exception_class_path for e in r.errors],"
        " r.worker_ids] for r in found]))"
    )
    found: list[list[Any]] = json.loads(site.python(code))
    return found


def test_a_run_does_what_is_due_and_the_next_job_is_unharmed(site: Site) -> None:
    calls = [
        "add.enqueue(1, b=2)", "die.enqueue('kill')", "add.enqueue(2)", "break_connection.enqueue()",
        "make_group.enqueue('a')", "leave_open.enqueue()", "state.enqueue()", "change_process.enqueue()",
        "state.enqueue()", "die.enqueue('exit')", "die.enqueue('fork')", "count_groups.enqueue()",
        "context.enqueue(word='w')", "wrong.enqueue('set')", "sleep.enqueue()", "make_group.enqueue('b')",
    ]  # fmt: skip
    ids = enqueue(site, *calls)
    site.cronq("run", "--jobs", 1)
    told = dict(zip(calls, results(site, ids), strict=True))
    assert told["add.enqueue(1, b=2)"][:3] == ["SUCCESSFUL", 3, []]
    assert told["die.enqueue('kill')"][::2] == ["FAILED", ["cronq.errors.ExecutorDied"]]
    assert told["add.enqueue(2)"][0] == told["make_group.enqueue('a')"][0] == "SUCCESSFUL"
    assert told["state.enqueue()"][:2] == ["SUCCESSFUL", ["en-us", "Europe/Prague", 0]]
    assert told["die.enqueue('exit')"][::2] == ["FAILED", ["builtins.SystemExit"]]
    assert told["die.enqueue('fork')"][:3] == ["SUCCESSFUL", None, []]
    assert told["count_groups.enqueue()"][:2] == ["SUCCESSFUL", 1]
    assert told["context.enqueue(word='w')"][1][:1] == [1]
    assert told["wrong.enqueue('set')"][::2] == ["FAILED", ["cronq.errors.UnstorableResult"]]
    assert told["sleep.enqueue()"][::2] == ["FAILED", ["cronq.errors.TimeLimitExceeded"]]
    assert told["make_group.enqueue('b')"][0] == "SUCCESSFUL"
    assert all(len(one[3]) == 1 for one in told.values())
    rows = json.loads(site.cronq("ls", "--json", "--task", "shop.tasks.change_process"))
    assert json.loads(site.cronq("show", rows[0]["id"], "--json"))["output"]["stdout"] == "printed\n"


def test_a_shell_and_a_program_enqueue_the_same_job(site: Site) -> None:
    enqueue(site, "mail.enqueue(to='ann')", "mail.enqueue('ann')")
    site.cronq("enqueue", "shop.tasks.mail", "to=ann")
    site.manage("cronq", "enqueue", "shop.tasks.mail", "to=ann")
    three, two, positional, one = json.loads(site.cronq("ls", "--json"))
    for name in ("args", "queue", "priority", "max_attempts", "key", "group", "time_limit", "task"):
        assert one[name] == two[name] == three[name], name
    assert (positional["args"], one["args"], one["priority"]) == ({"*": ["ann"]}, {"to": "ann"}, 90)
    site.cronq("run")
    ids = [str(row["id"]) for row in (one, two, three, positional)]
    assert [result[:2] for result in results(site, ids)] == [["SUCCESSFUL", {"to": "ann"}]] * 4
    assert "unknown task" in site.cronq("enqueue", "shop.tasks.nothing", status=65)
    assert "unknown task" in site.cronq("enqueue", "shop.tasks.not_a_task", status=65)


def test_an_idle_run_imports_the_settings_only(site: Site) -> None:
    enqueue(site, "add.using(run_after=timezone.now() + __import__('datetime').timedelta(days=1)).enqueue(1)")
    site.cronq("run")
    program = (
        "import sys\nfrom cronq.cli import main\nassert main(['run']) == 0\n"
        "print(json := __import__('json').dumps(sorted(sys.modules)))"
    )
    modules = set(json.loads(site.programs.anew("-c", program).stdout))
    heavy = {"django.apps.registry", "django.db", "sqlalchemy", "alembic", "typer", "rich", "shop", "cronq.django"}
    assert "settings" in modules
    assert not modules & heavy


def test_a_cronq_toml_comes_before_the_project(site: Site) -> None:
    (site.directory / "cronq.toml").write_text('database = "sqlite:///other.db"\n')
    assert "other.db" in site.cronq("status", status=1)
    assert "site.sqlite3" in site.manage("cronq", "status")


@pytest.mark.parametrize(
    ("settings", "told"),
    [("nowhere", "nowhere"), ("broken", "importing broken failed: LookupError")],
)
def test_settings_that_cant_be_imported_are_named(site: Site, settings: str, told: str) -> None:
    (site.directory / "broken.py").write_text("raise LookupError('x')\n")
    said = site.cronq("run", status=78, DJANGO_SETTINGS_MODULE=settings)
    assert told in said
    assert said.count("\n") == 1


def test_signals_tell_of_each_end_once(site: Site) -> None:
    (site.directory / "shop" / "apps.py").write_text(
        "from django.apps import AppConfig\n"
        "class Shop(AppConfig):\n    name = 'shop'\n    def ready(self):\n"
        "        from cronq.django.api import task_finished\n"
        "        task_finished.connect(note, weak=False)\n"
        "def note(sender, task_result, **_):\n"
        "    with open('ends', 'a') as file:\n"
        "        file.write(f'{task_result.id} {task_result.status}\\n')\n"
    )
    calls = ("add.enqueue(1)", "die.enqueue('kill')", "say.enqueue('fail')", "sleep.enqueue()", "fail.enqueue()")
    ids = enqueue(site, *calls)
    site.cronq("run")
    wait_until(lambda: ended(site, 4))
    ends = sorted((site.directory / "ends").read_text().splitlines())
    assert ends == [f"{ids[0]} SUCCESSFUL", f"{ids[1]} FAILED", f"{ids[2]} FAILED", f"{ids[3]} FAILED"]


def ended(site: Site, lines: int) -> bool:
    """Whether so many ends were told; the process beside a runner may be later than its end."""
    file = site.directory / "ends"
    return file.exists() and len(file.read_text().splitlines()) >= lines


def test_a_runner_that_is_killed_leaves_nothing_stuck(site: Site) -> None:
    (stuck,) = enqueue(site, "sleep.using(time_limit=600).enqueue()")
    with site.programs.begin("-m", "cronq", "run") as runner:
        try:
            wait_until((site.directory / "sleeps").exists, seconds=60)
        finally:
            runner.kill()
    site.cronq("run")
    ((status, _, errors, workers),) = results(site, [stuck])
    assert (status, errors, len(workers)) == ("FAILED", ["cronq.errors.ExecutorDied"], 1)


def test_generated_files_name_the_project(site: Site) -> None:
    (site.directory / "manage.py").chmod(0o755)
    crontab = site.manage("cronq", "print-config", "cron", "--user", "root")
    assert "DJANGO_SETTINGS_MODULE=settings\n" in crontab
    assert "manage.py" not in crontab
    assert f"PYTHONPATH={site.directory}\n" in crontab
    unit = site.cronq("print-config", "systemd", "--user", "root", "--file", "cronq-run.service")
    assert "Environment=DJANGO_SETTINGS_MODULE=settings\n" in unit


def states(site: Site) -> list[str]:
    """The states of all jobs, oldest first."""
    return [row["state"] for row in reversed(json.loads(site.cronq("ls", "--json")))]


def test_the_settings_of_a_task_come_before_its_decorator_and_after_using(tmp_path: Path) -> None:
    mail = {"queue": "slow", "priority": 5, "max_attempts": 3}
    site = migrated(
        tmp_path, tasks={"shop.tasks.mail": mail, "shop.tasks.fail_twice": {"base": "2h", "max_attempts": 4}}
    )
    calls = ["mail.enqueue('ann')", "mail.using(queue_name='default', priority=2, max_attempts=1).enqueue('ann')"]
    ids = enqueue(site, *calls, "fail_twice.enqueue()", "fail_twice.using(base=7).enqueue()")
    site.cronq("enqueue", "shop.tasks.mail", "to=ann")
    rows = [json.loads(site.cronq("show", one, "--json")) for one in [*ids, str(int(ids[-1]) + 1)]]
    assert [(row["queue"], row["priority"], row["max_attempts"], row["retry"]) for row in rows] == [
        ("slow", 5, 3, None),
        ("default", 98, 1, None),
        ("default", 100, 4, None),
        ("default", 100, 4, {"base": 7}),
        ("slow", 5, 3, None),
    ]
    told = "result = mail.enqueue('ann')\nprint(result.task == mail.get_result(result.id).task, result.task.queue_name)"
    assert site.python(f"from shop.tasks import mail\n{told}") == "True slow"


def test_the_limit_of_a_task_holds_for_its_jobs(tmp_path: Path) -> None:
    tasks = {"shop.tasks.add": {"limit": "smtp"}, "shop.tasks.mail": {"limit": "smtp:{to}"}}
    site = migrated(tmp_path, limits={"smtp": {"rate": "1/1h"}, "smtp:*": 1}, tasks=tasks)
    enqueue(site, "add.enqueue(1)", "add.enqueue(2)", "mail.enqueue('ann')", "mail.enqueue(to='ann')")
    site.cronq("enqueue", "shop.tasks.mail", "to=ann")
    assert states(site) == ["ready", "pending", "ready", "pending", "pending"]
    assert {one["name"] for one in json.loads(site.cronq("limits", "--json"))} >= {"smtp", "smtp:ann"}
    site.cronq("run")
    assert states(site) == ["finished", "pending", "finished", "finished", "finished"]
    assert "shop.tasks.mail: limit: 'smtp:{to}' names the argument 'to'" in site.python(
        "from shop.tasks import mail\nmail.enqueue()", status=1
    )
