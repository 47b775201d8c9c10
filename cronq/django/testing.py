"""Test a Django project: run the tasks that are due, in the test's own process and transaction.

from cronq.django.testing import run_tasks

class SignUp(TestCase):
    def test_a_mail_is_sent(self):
        self.client.post("/sign-up", {"mail": "ann@example.org"})
        (sent,) = run_tasks()
        self.assertEqual(sent.status, "SUCCESSFUL")
"""

from __future__ import annotations

from contextlib import closing, suppress
from typing import Any

from cronq.django import runner
from cronq.django.api import TaskResultDoesNotExist
from cronq.testing import work_off


def run_tasks(*, backend: str | None = None, limit: int | None = None) -> list[Any]:
    """Run the tasks that are due until none is left; returns the result of each attempt as it ended.

    They run in this process, on Django's connection, inside the test's transaction: time limits don't apply. A
    retry that is due later isn't run. `backend` is an alias of TASKS, by default the one that workers serve; `limit`
    is the most attempts to run.
    """
    chosen = runner.task_backends[backend] if backend else runner.ours()
    ran: list[Any] = []
    jobs = work_off(chosen.store, runner.ProjectTasks(chosen), chosen.config, worker="cronq.django.testing")
    with closing(jobs):
        for job in jobs:
            with suppress(TaskResultDoesNotExist):  # a job of another program
                ran.append(chosen.result_of(job))
            if limit is not None and len(ran) >= limit:
                break
    return ran
