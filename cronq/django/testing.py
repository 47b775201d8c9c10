"""Test a Django project: run the tasks that are due, in the test's own process and transaction.

from cronq.django.testing import run_tasks

class SignUp(TestCase):
    def test_a_mail_is_sent(self):
        self.client.post("/sign-up", {"mail": "ann@example.org"})
        (sent,) = run_tasks()
        self.assertEqual(sent.status, "SUCCESSFUL")
"""

from __future__ import annotations

import os
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

from cronq.django import runner
from cronq.django.api import TaskResultDoesNotExist
from cronq.execution.executor import Executor
from cronq.model.retry import Policies
from cronq.model.selection import Filter
from cronq.model.settlement import settlement
from cronq.store import Lease

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cronq.django.backend import CronqBackend

_WORKER = "cronq.django.testing"


def run_tasks(*, backend: str | None = None, limit: int | None = None) -> list[Any]:
    """Run the tasks that are due until none is left; returns the result of each attempt as it ended.

    They run in this process, on Django's connection, inside the test's transaction: time limits don't apply. A
    retry that is due later isn't run. `backend` is an alias of TASKS, by default the one that workers serve; `limit`
    is the most attempts to run.
    """
    chosen = runner.task_backends[backend] if backend else runner.ours()
    ran: list[Any] = []
    for result in _work_off(chosen):
        ran.append(result)
        if limit is not None and len(ran) >= limit:
            break
    return ran


def _work_off(backend: CronqBackend) -> Iterator[Any]:
    registry = runner.ProjectTasks(backend)
    with closing(Executor(registry, backend.config, backend.store.clock)) as executor:
        yield from _worked_off(backend, executor, Policies(backend.config, registry))


def _worked_off(backend: CronqBackend, executor: Executor, policies: Policies) -> Iterator[Any]:
    store = backend.store
    while True:
        now = store.clock.now()
        store.leases.promote(now)
        claimed = store.claim(Filter(), Lease(_WORKER, now=now, seconds=3600), limit=1)
        if not claimed:
            return
        outcome = executor.execute(claimed[0])
        store.settle([settlement(claimed[0], outcome._replace(pid=os.getpid()), policies, chance=float)])
        job = store.jobs.get(claimed[0].id)
        if job is not None:
            with suppress(TaskResultDoesNotExist):  # a job of another program
                yield backend.result_of(job)
        if outcome.stop:
            return
