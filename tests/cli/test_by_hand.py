"""Who paused, cancelled or retried is told by why, show and status, and never as it came from the database."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import sqlite3

from tests.project import Project

ME = f"{pwd.getpwuid(os.geteuid()).pw_name}@{os.uname().nodename}"


def test_why_show_and_status_name_who_did_it(project: Project) -> None:
    job, other = project.enqueue("say", "text=x"), project.enqueue("say", "text=y")
    project.done("pause", "default")
    assert f'queue "default" is paused by {ME}' in project.done("why", job)
    assert "`cronq resume default`" in project.done("why", job)
    assert f"paused: default, by {ME}" in project.done("status")
    assert json.loads(project.done("status", "--json"))["paused_by"]["default"]["by"].startswith(ME)
    project.done("cancel", other)
    assert f"by {ME}" in project.done("why", other)
    assert f"cancelled by {ME}" in project.done("show", other)
    project.done("retry", other)
    assert f"it was retried by {ME}" in project.done("why", other)
    assert [action["verb"] for action in project.show(other)["actions"]] == ["cancelled", "retried"]


def test_pausing_a_queue_without_jobs_warns(project: Project) -> None:
    project.enqueue("say", "text=x", "--queue", "mail")
    ran = project.cronq("pause", "mial")
    assert ran.status == 0
    assert ran.stderr == "cronq: queue mial has no jobs, and is paused now, did you mean 'mail'?\n"
    assert project.cronq("pause", "mail").stderr == ""
    assert project.cronq("-q", "pause", "meil").stderr == ""


def test_names_of_people_in_the_database_are_escaped(project: Project) -> None:
    job = project.enqueue("say", "text=x")
    project.done("cancel", job)
    project.done("pause", "default")
    with contextlib.closing(sqlite3.connect(project.database)) as connection, connection:
        names = ("ann\x1b[2J\nroot", "\x1b]0;x\x07\u202e")
        connection.execute("UPDATE cronq_actions SET who = ?, reason = ?", names)
    for command in (("show", str(job)), ("show", "--json", str(job)), ("why", str(job)), ("status",), ("doctor",)):
        printed = project.cronq(*command).stdout
        assert not {"\x1b", "\x07", "\u202e"} & set(printed), command
        assert "\\x1b[2J" in printed or "\\u001b[2J" in printed, command
