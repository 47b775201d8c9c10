"""Define tasks of all kinds."""

import asyncio
import os
import signal
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from asgiref.sync import sync_to_async
from cronq import Fail, Retry, Skip, Snooze, current_job
from django.contrib.auth.models import Group
from django.db import connection, transaction
from django.utils import timezone, translation

if find_spec("django.tasks"):
    from django.tasks import task
else:
    from django_tasks import task


class OwnError(Exception):
    """An error of the shop."""


@task
def add(a: int, b: int = 0) -> int:
    return a + b


@task(priority=10, queue_name="mail")
def mail(to: str, **more: Any) -> dict[str, Any]:
    return {"to": to, **more}


@task
def give(value: Any) -> Any:
    return value


@task
def everything(*args: Any, **kwargs: Any) -> Any:
    return [args, kwargs]


@task
def fail(text: str = "broken") -> None:
    raise OwnError(text)


@task(max_attempts=2, base=0)
def fail_twice() -> None:
    raise OwnError("again")


@task
def say(verdict: str) -> None:
    raise {
        "fail": Fail("no use"),
        "skip": Skip("not needed"),
        "snooze": Snooze("1h"),
        "retry": Retry("later", delay=3600),
    }[verdict]


@task
def wrong(kind: str) -> Any:
    return {"set": {1}, "object": object(), "huge": "x" * 100_000}[kind]


@task(takes_context=True)
def context(context: Any, word: str) -> list[Any]:
    result = context.task_result
    return [context.attempt, result.id, result.status, result.kwargs, word, current_job.id]


@task
def count_down(number: int) -> int:
    if number:
        count_down.enqueue(number - 1)
    return number


@task
async def count_groups() -> Any:
    await asyncio.sleep(0)
    return await Group.objects.acount()


@task
def make_group(name: str) -> Any:
    return Group.objects.create(name=name).name


@task
def leave_open() -> None:
    transaction.set_autocommit(False)
    Group.objects.create(name="left open")


@task(max_attempts=1)
def never_leave(fails: bool = False) -> None:
    transaction.atomic().__enter__()
    Group.objects.create(name="left open")
    if fails:
        raise OwnError("in a block that is not left")


@task(max_attempts=1)
def break_open(fails: bool = False) -> None:
    transaction.set_autocommit(False)
    Group.objects.create(name="left open")
    connection.connection.close()
    if fails:
        raise OwnError("on a broken connection")


@task
def break_connection() -> None:
    connection.ensure_connection()
    connection.connection.close()


@task
def change_process() -> None:
    translation.activate("cs")
    timezone.activate("Asia/Tokyo")
    print("printed")


@task
def state() -> list[Any]:
    return [
        translation.get_language(),
        timezone.get_current_timezone_name(),
        Group.objects.filter(name="left open").count(),
    ]


@task(max_attempts=1)
def die(how: str) -> None:
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "exit":
        sys.exit(3)
    if how == "fork" and not os.fork():
        os._exit(0)


@task(max_attempts=1, time_limit=1)
def sleep() -> None:
    Path("sleeps").touch()
    time.sleep(60)


def opened() -> list[int]:
    """Return the numbers of descriptors of this process and of its runner, and of connections to this database."""
    # MySQL's information_schema can't show a statement with an emoji: then reading fails.
    processes = "information" if getattr(connection, "mysql_is_mariadb", False) else "performance"
    counted = {
        "postgresql": "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()",
        "mysql": f"SELECT count(*) FROM {processes}_schema.processlist WHERE db = database()",
    }.get(connection.vendor, "SELECT 0")
    with connection.cursor() as cursor:
        cursor.execute(counted)
        (connections,) = cursor.fetchone()
    return [*(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in (os.getpid(), os.getppid())), connections]


@task
def look(fails: bool = False) -> list[int]:
    Group.objects.count()
    if fails:
        raise OwnError("with a connection open")
    return opened()


@task
async def alook() -> Any:
    await Group.objects.acount()
    return await sync_to_async(opened)()


def not_a_task() -> None:
    raise AssertionError("only a Task may run")
