"""The users of docs/operations.md: with these privileges everything works, with fewer cronq says what is missing."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from cronq.config.loader import from_database
from cronq.storage.drivers.opening import open_database
from tests import databases, scale, servers
from tests.project import ROOT, Project, Ran

NAME = f"users{os.getpid()}"
"""Instead of `cronq`, because a server's users are the same for all tests of a run."""


class Users(NamedTuple):
    """A database of its own with the documented users, and a project that goes there as one of them."""

    project: Project
    kind: str
    administrator: str

    def url(self, user: str) -> str:
        plain, _, _ = self.administrator.partition("?")
        return re.sub("//[^@]*@", f"//{NAME}_{user}:secret@", plain)

    def cronq(self, user: str, *arguments: str | int) -> Ran:
        return self.project.cronq(*arguments, env={"CRONQ_DATABASE": self.url(user)})

    def does(self, *arguments: str | int) -> str:
        ran = self.cronq("runner", *arguments)
        assert ran.status == 0, ran
        assert ran.stderr == ""
        return ran.stdout

    def execute(self, *statements: str) -> None:
        database = open_database(from_database(self.administrator))
        for statement in statements:
            database.execute(statement)
        database.close()


def documented(kind: str) -> list[str]:
    """The statements of the document for this server, for the database and users of this test."""
    mysql, postgresql = re.findall(r"^```sql\n(.*?)^```", (ROOT / "docs/operations.md").read_text(), re.M | re.S)
    text = postgresql if kind == "postgresql" else mysql
    text = re.sub(r"\bcronq(?=_|\.|\b)", NAME, text)
    return [one.strip() for one in text.split(";") if one.strip() and not one.startswith("CREATE DATABASE")]


@pytest.fixture(params=scale.engines("mysql", "postgresql", of=databases.KINDS))
def users(request: pytest.FixtureRequest, project: Project) -> Iterator[Users]:
    servers.require(request.param)
    server = databases.shared(request.param)
    server.execute(f"CREATE DATABASE {NAME}")
    users = Users(project, request.param, server.url(NAME))
    users.execute(*documented(request.param))
    yield users
    both = [f"{NAME}_runner", f"{NAME}_owner"]
    if request.param == "postgresql":
        users.execute(*(f"DROP OWNED BY {user} CASCADE" for user in both))
    server.execute(f"DROP DATABASE {NAME}", *(f"DROP USER {user}" for user in both))


def test_the_documented_privileges_are_enough(users: Users) -> None:
    made = users.cronq("owner", "update-schema")
    assert made.status == 0, made
    users.does("update-schema")
    users.does("enqueue", "add", "a=1", "b=2")
    users.does("enqueue", "add", "a=1", "b=2", "--group", "g", "--key", "k", "--unique")
    users.does("enqueue", "break", "--group", "g")
    users.does("enqueue", "add", "a=1", "b=2", "--at", "+1h")
    users.does("run")
    assert [job["state"] for job in json.loads(users.does("ls", "--json"))] == [
        "scheduled", "retrying", "finished", "finished",
    ]  # fmt: skip
    for looking in (["show", 3], ["why", 3], ["status"], ["wait", 1]):
        users.does(*looking)
    users.does("cancel", 3)
    users.does("retry", 3)
    users.does("run")
    assert users.does("clear-finished") == "2\n"


def test_without_tables_it_says_who_can_make_them(users: Users) -> None:
    for arguments in (["enqueue", "add", "a=1", "b=2"], ["run"], ["update-schema"]):
        ran = users.cronq("runner", *arguments)
        assert (ran.status, ran.stderr.count("\n")) == (78, 1), ran
        assert "run `cronq update-schema` as one who may" in ran.stderr
        assert "secret" not in ran.stderr


def test_a_missing_privilege_is_named(users: Users) -> None:
    users.cronq("owner", "update-schema")
    which = "cronq_jobs" if users.kind == "postgresql" else f"{NAME}.*"
    users.execute(f"REVOKE INSERT ON {which} FROM {NAME}_runner")
    ran = users.cronq("runner", "enqueue", "add", "a=1", "b=2")
    assert (ran.status, ran.stderr.count("\n")) == (69, 1), ran
    assert "this user lacks a privilege; cronq needs SELECT, INSERT, UPDATE" in ran.stderr
    assert "cronq_jobs" in ran.stderr
    users.does("ls")


def test_a_user_of_the_views_sees_nothing_else(users: Users) -> None:
    users.cronq("owner", "update-schema")
    job = int(users.does("enqueue", "add", "a=1", "b=2"))
    if users.kind == "postgresql":
        users.execute(
            f"REVOKE ALL ON cronq_jobs FROM {NAME}_runner", f"GRANT SELECT ON cronq_jobs_view TO {NAME}_runner"
        )
    else:
        users.execute(
            f"REVOKE ALL ON {NAME}.* FROM {NAME}_runner", f"GRANT SELECT ON {NAME}.cronq_jobs_view TO {NAME}_runner"
        )
    database = open_database(from_database(users.url("runner")))
    assert database.query("SELECT id FROM cronq_jobs_view") == [(job,)]
    with pytest.raises(Exception, match="lacks a privilege"):
        database.query("SELECT id FROM cronq_jobs")
    database.close()
