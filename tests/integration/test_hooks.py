"""Hooks around a job, and what their errors mean: never a second run of finished work."""

from __future__ import annotations

import json

import pytest

from tests.integration.running import Queue

WORKS = "@queue.task\ndef works():\n    mark('works')\n    return 3\n"
BREAKS = "@queue.task\ndef breaks():\n    raise ValueError('first')\n"
HOOKS = """
@queue.before_job
def before(job):
    mark("before", job.id)


@queue.after_job
def after(job, result):
    mark("after", job.id, result)


@queue.on_error
def on_error(job, error):
    mark("error", job.id, type(error).__name__)


@queue.job_metadata
def metadata(job):
    return {"host": "h", "attempt": job.attempt}


@queue.task
def works():
    mark("works")
    return 3


@queue.task
def breaks():
    raise ValueError("broken")
"""


def test_all_hooks_in_their_order(queue: Queue) -> None:
    queue.tasks(HOOKS)
    good, bad = queue.put("works"), queue.put("breaks")
    queue.run_silently("--jobs", 1)
    assert queue.recorded() == [
        f"before {good}", "works", f"after {good} 3", f"before {bad}", f"error {bad} ValueError",
    ]  # fmt: skip
    assert json.loads(queue.row(good)["notes"]) == {"host": "h", "attempt": 1}
    assert json.loads(queue.row(bad)["notes"]) == {"host": "h", "attempt": 1}


def test_hooks_around_a_command(queue: Queue) -> None:
    queue.tasks(HOOKS)
    good, bad = queue.command("echo command >> record"), queue.command("exit 3")
    queue.run_silently("--jobs", 1)
    assert queue.recorded() == [
        f"before {good}", "command", f"after {good} None", f"before {bad}", f"error {bad} Fail",
    ]  # fmt: skip
    assert json.loads(queue.row(good)["notes"]) == {"host": "h", "attempt": 1}


@pytest.mark.parametrize("hook", ["before_job", "job_metadata"])
@pytest.mark.parametrize("error", ["ValueError('no')", "SystemExit(0)"])
def test_an_error_before_fails_the_attempt_and_the_task_does_not_start(queue: Queue, hook: str, error: str) -> None:
    queue.tasks(f"@queue.{hook}\ndef hook(job):\n    raise {error}\n\n\n{WORKS}")
    python, command = queue.put("works"), queue.command("echo works >> record")
    queue.run_silently("--jobs", 1)
    assert queue.recorded() == []
    for job in (python, command):
        assert (queue.state(job), queue.row(job)["attempt"]) == ("retrying", 1)
        assert queue.row(job)["error_class"] in {"ValueError", "SystemExit"}


@pytest.mark.parametrize("error", ["ValueError('no')", "SystemExit(1)", "KeyboardInterrupt", "Fail('no')", "Retry()"])
def test_an_error_after_is_a_warning(queue: Queue, error: str) -> None:
    queue.tasks(f"@queue.after_job\ndef hook(job, result):\n    raise {error}\n\n\n{WORKS}")
    jobs = [queue.put("works"), queue.command("echo works >> record")]
    queue.run_silently("--jobs", 1)
    queue.run_silently("--jobs", 1)
    assert queue.recorded() == ["works", "works"]
    for job in jobs:
        row = queue.row(job)
        assert (row["state"], row["outcome"]) == ("finished", "warning")
        assert json.loads(row["warnings"])[0].startswith(f"after_job hook: {error.partition('(')[0]}")
    assert queue.row(jobs[0])["result"] == "3"


def test_the_time_limit_in_an_after_hook_repeats_nothing(queue: Queue) -> None:
    queue.tasks(f"@queue.after_job\ndef hook(job, result):\n    time.sleep(100)\n\n\n{WORKS}")
    job = queue.put("works", time_limit=2)
    queue.run_silently()
    assert (queue.state(job), queue.row(job)["outcome"]) == ("finished", "warning")


@pytest.mark.parametrize("error", ["KeyError('hook')", "SystemExit(1)"])
def test_an_error_in_on_error_never_hides_the_first(queue: Queue, error: str) -> None:
    queue.tasks(f"@queue.on_error\ndef hook(job, error):\n    raise {error}\n\n\n{BREAKS}")
    job = queue.put("breaks")
    queue.run_silently()
    row = queue.row(job)
    assert (row["state"], row["error_class"], row["error_message"]) == ("retrying", "ValueError", "first")
    assert json.loads(row["warnings"])[0].startswith(f"on_error hook: {error.partition('(')[0]}")


def test_a_hook_that_dies_is_a_crash_of_that_attempt(queue: Queue) -> None:
    queue.tasks("@queue.before_job\ndef hook(job):\n    if job.key == 'dies': os._exit(4)\n")
    job, after = queue.put("nothing", key="dies"), queue.put("nothing")
    queue.run_silently("--jobs", 1)
    assert queue.row(job)["error_message"] == "job process ended: exit status 4 in the middle of the task"
    assert queue.state(after) == "finished"


def test_a_class_with_before_and_after(queue: Queue) -> None:
    queue.tasks(
        """
@queue.task
class Report:
    def before(self):
        mark("before")

    def perform(self, url):
        mark("perform", url)
        return url

    def after(self):
        mark("after")
        raise ValueError("too late")
"""
    )
    job = queue.put("Report", {"url": "u"})
    queue.run_silently()
    assert queue.recorded() == ["before", "perform u", "after"]
    assert (queue.state(job), queue.row(job)["outcome"]) == ("finished", "warning")
