"""Test Django's contract for tasks that run, with `run_tasks()` on the database of the settings."""

import datetime
import time
from typing import Any
from unittest import skipIf

from asgiref.sync import async_to_sync
from cronq.django.api import task_backends, task_finished, task_started
from cronq.django.testing import run_tasks
from cronq.model.limits import Bounds, Limit
from cronq.times import SECOND
from django.contrib.auth.models import Group
from django.db import connection, transaction
from django.test import TestCase, TransactionTestCase
from django.utils import timezone
from shop import tasks

backend = task_backends["default"]


def ran(task: Any, *args: Any, **kwargs: Any) -> Any:
    """Enqueue and run a task; return its result."""
    made = task.enqueue(*args, **kwargs)
    run_tasks()
    made.refresh()
    return made


class Running(TestCase):
    def test_a_task_runs_and_its_result_is_kept(self) -> None:
        result = ran(tasks.add, 1, b=2)
        assert (result.status, result.return_value, result.is_finished, result.errors) == ("SUCCESSFUL", 3, True, [])
        assert result.enqueued_at <= result.started_at == result.last_attempted_at <= result.finished_at
        assert (result.attempts, len(result.worker_ids)) == (1, 1)
        assert tasks.add.get_result(result.id).return_value == 3

    def test_results_are_what_json_has(self) -> None:
        for value in (None, 0, "", "text", [1, [2]], {"a": {"$cronq": "x"}}, 2.5, False):
            assert ran(tasks.give, value).return_value == value
        assert ran(tasks.everything, 1, key=2).return_value == [[1], {"key": 2}]

    def test_a_result_that_cant_be_kept_fails_the_task_for_good(self) -> None:
        for kind in ("set", "object", "huge"):
            result = ran(tasks.wrong, kind)
            assert result.status == "FAILED"
            (error,) = result.errors
            assert issubclass(error.exception_class, TypeError)

    def test_an_error_is_retried_and_told(self) -> None:
        result = ran(tasks.fail, "what was wrong")
        assert (result.status, result.attempts, result.finished_at) == ("READY", 1, None)
        (error,) = result.errors
        assert error.exception_class_path.endswith("OwnError")
        assert "what was wrong" in error.traceback
        assert "shop/tasks.py" in error.traceback

    def test_the_last_attempt_fails_the_task(self) -> None:
        result = ran(tasks.fail_twice)
        assert (result.status, result.attempts, len(result.errors)) == ("FAILED", 2, 2)
        assert result.started_at <= result.last_attempted_at <= result.finished_at
        with self.assertRaisesMessage(ValueError, "Task failed"):
            _ = result.return_value

    def test_verdicts_of_the_task(self) -> None:
        for verdict, status, attempts, errors in (
            ("fail", "FAILED", 1, 1),
            ("skip", "FAILED", 1, 1),
            ("snooze", "READY", 0, 0),
            ("retry", "READY", 1, 1),
        ):
            with self.subTest(verdict):
                result = ran(tasks.say, verdict)
                assert (result.status, result.attempts, len(result.errors)) == (status, attempts, errors)
                assert all(error.exception_class.__module__ == "cronq.errors" for error in result.errors)

    def test_arguments_that_dont_fit_are_an_error_of_the_attempt(self) -> None:
        result = ran(tasks.add, nonsense=1)
        assert result.errors[0].exception_class is TypeError

    def test_a_task_that_takes_a_context_gets_it(self) -> None:
        result = ran(tasks.context, word="hello")
        assert result.return_value == [1, result.id, "RUNNING", {"word": "hello"}, "hello", int(result.id)]

    def test_a_coroutine_shares_the_connection_of_the_test(self) -> None:
        Group.objects.create(name="one")
        assert ran(tasks.count_groups).return_value == 1

    def test_what_a_task_writes_is_in_the_tests_transaction(self) -> None:
        assert ran(tasks.make_group, "made").return_value == "made"
        assert Group.objects.get().name == "made"
        assert connection.in_atomic_block

    def test_a_block_that_a_task_does_not_leave_is_rolled_back_and_that_of_the_test_is_kept(self) -> None:
        Group.objects.create(name="of the test")
        for fails, status in ((False, "SUCCESSFUL"), (True, "FAILED")):
            result = ran(tasks.never_leave, fails=fails)
            assert result.status == status
            assert connection.in_atomic_block
            assert Group.objects.get().name == "of the test"
        assert ran(tasks.make_group, "after").return_value == "after"

    def test_a_higher_priority_runs_first_and_later_ones_dont_run(self) -> None:
        made = [tasks.add.using(priority=priority).enqueue(1) for priority in (0, 50, -50, 100)]
        later = tasks.add.using(run_after=timezone.now() + datetime.timedelta(hours=1)).enqueue(1)
        assert [result.id for result in run_tasks()] == [made[place].id for place in (3, 1, 0, 2)]
        assert tasks.add.get_result(later.id).status == "READY"

    def test_tasks_under_a_limit_run_one_after_the_other(self) -> None:
        tasks.count_down.enqueue(1)
        tasks.count_down.enqueue(2)
        assert sorted(result.return_value for result in run_tasks()) == [0, 0, 1, 1, 2]

    def test_a_task_under_a_rate_runs_when_the_rate_allows_it(self) -> None:
        new = backend._new(tasks.add, (1,), {})._replace(limit=Limit("slow", "slow", Bounds(None, 1, 2 * SECOND)))
        made = [str(job.id) for job in backend.store.enqueue([new, new])]
        done = [result.id for result in run_tasks()]
        assert done == made[:1]
        deadline = time.monotonic() + 30
        while len(done) < len(made) and time.monotonic() < deadline:
            time.sleep(0.05)
            done += [result.id for result in run_tasks()]
        assert done == made

    def test_at_most_as_many_run_as_asked_for(self) -> None:
        made = [tasks.add.enqueue(1).id for _ in range(3)]
        assert [result.id for result in run_tasks(limit=2)] == made[:2]
        assert [result.id for result in run_tasks()] == made[2:]

    def test_only_a_task_runs(self) -> None:
        job = backend.store.enqueue([backend._new(tasks.add, (), {})._replace(task="shop.tasks.not_a_task")])[0]
        run_tasks()
        assert backend.store.jobs.get(job.id).state == "waiting"

    def test_retry_and_cancel_of_cronq(self) -> None:
        result = ran(tasks.fail_twice)
        assert backend.store.admin.retry([int(result.id)])
        result.refresh()
        assert (result.status, result.attempts) == ("READY", 2)
        assert backend.store.admin.cancel([int(result.id)], reason="not needed")
        result.refresh()
        assert (result.status, len(result.errors)) == ("FAILED", 3)
        assert result.errors[-1].exception_class.__name__ == "Cancelled"
        assert "not needed" in result.errors[-1].traceback

    def test_a_success_that_is_retried_is_told_with_its_worker(self) -> None:
        result = ran(tasks.add, 1)
        (worker,), started = result.worker_ids, result.started_at
        assert backend.store.admin.retry([int(result.id)])
        result.refresh()
        assert (result.status, result.worker_ids, result.errors) == ("READY", [worker], [])
        run_tasks()
        result.refresh()
        assert (result.status, result.worker_ids, result.attempts) == ("SUCCESSFUL", [worker, worker], 2)
        assert (result.started_at, result.errors) == (started, [])
        assert result.last_attempted_at > started

    def test_coroutines_ask_for_results(self) -> None:
        made = tasks.add.enqueue(1)
        run_tasks()
        async_to_sync(made.arefresh)()
        assert made.status == "SUCCESSFUL"


class Signals(TestCase):
    def setUp(self) -> None:
        self.seen: list[Any] = []
        for signal, name in ((task_started, "started"), (task_finished, "finished")):

            def note(sender: type, task_result: Any, name: str = name, **_: Any) -> None:
                assert sender is type(backend)
                self.seen.append((name, task_result.status, len(task_result.errors), task_result.attempts))

            signal.connect(note, weak=False)
            self.addCleanup(signal.disconnect, note)

    def test_of_a_success(self) -> None:
        ran(tasks.add, 1)
        assert self.seen == [("started", "RUNNING", 0, 1), ("finished", "SUCCESSFUL", 0, 1)]

    def test_started_comes_for_each_attempt_and_finished_once(self) -> None:
        ran(tasks.fail_twice)
        assert self.seen == [("started", "RUNNING", 0, 1), ("started", "RUNNING", 1, 2), ("finished", "FAILED", 2, 2)]

    def test_of_what_goes_on(self) -> None:
        ran(tasks.fail)
        ran(tasks.say, "snooze")
        assert [one[0] for one in self.seen] == ["started", "started"]

    def test_of_a_skip(self) -> None:
        ran(tasks.say, "skip")
        assert self.seen[-1] == ("finished", "FAILED", 1, 1)

    def test_a_receivers_error_is_a_warning_of_the_job(self) -> None:
        def break_down(**_: Any) -> None:
            raise LookupError("a receiver's error")

        task_finished.connect(break_down)
        try:
            with self.assertLogs("cronq.django", "WARNING"):
                result = ran(tasks.add, 1)
        finally:
            task_finished.disconnect(break_down)
        assert result.status == "SUCCESSFUL"
        assert "a receiver's error" in backend.store.jobs.get(int(result.id)).warnings[0]


class WithoutTransaction(TransactionTestCase):
    def test_a_transaction_left_open_is_rolled_back(self) -> None:
        ran(tasks.leave_open)
        assert connection.get_autocommit()
        assert not Group.objects.exists()

    @skipIf(connection.vendor == "sqlite", "a database in memory is gone with its connection")
    def test_a_broken_connection_is_opened_again(self) -> None:
        ran(tasks.break_connection)
        assert ran(tasks.make_group, "after").status == "SUCCESSFUL"

    def test_an_atomic_block_of_the_test_is_kept(self) -> None:
        with transaction.atomic():
            result = ran(tasks.add, 1)
            assert connection.in_atomic_block
        assert tasks.add.get_result(result.id).status == "SUCCESSFUL"
