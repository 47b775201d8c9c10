"""Test Django's contract for enqueueing and reading, on the database of the settings."""

import datetime
import uuid
from typing import Any

from asgiref.sync import async_to_sync
from cronq.django.api import InvalidTask, TaskResultDoesNotExist, task_backends, task_enqueued
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, transaction
from django.test import TestCase, TransactionTestCase
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from shop.tasks import add, everything, fail, mail

backend = task_backends["default"]


def statements(captured: CaptureQueriesContext) -> list[str]:
    """Return the first words of the statements that were sent, without transactions and savepoints."""
    words = [str(query["sql"]).split(" ", 1)[0] for query in captured.captured_queries]
    return [word for word in words if word in {"INSERT", "SELECT", "UPDATE", "DELETE"}]


class Enqueueing(TestCase):
    def test_an_enqueue_is_one_insert(self) -> None:
        for task in (add, mail.using(priority=3), add.using(run_after=timezone.now() + datetime.timedelta(hours=1))):
            with self.assertNumQueries(1):
                task.enqueue(1)

    def test_the_first_enqueue_of_a_process_is_one_insert_too(self) -> None:
        fresh = type(backend)("default", {"QUEUES": ["default"], "OPTIONS": {}})
        with self.assertNumQueries(1):
            fresh.enqueue(add, (1,), {})

    def test_many_are_one_insert(self) -> None:
        with CaptureQueriesContext(connection) as captured:
            made = backend.enqueue_many([(add, (number,), {"b": 1}) for number in range(5)])
        assert statements(captured).count("INSERT") == 1
        assert len(statements(captured)) <= 2
        assert [backend.get_result(one.id).args for one in made] == [[number] for number in range(5)]

    def test_many_of_different_tasks_are_one_insert(self) -> None:
        with CaptureQueriesContext(connection) as captured:
            made = backend.enqueue_many([(add, (1,), {}), (mail, ("ann",), {}), (add, (), {"a": 2})])
        assert statements(captured).count("INSERT") == 1
        assert len(statements(captured)) <= 2
        assert [backend.get_result(one.id).task.func for one in made] == [add.func, mail.func, add.func]

    def test_what_is_enqueued_is_seen_in_the_same_transaction(self) -> None:
        made = add.enqueue(1, b=2)
        found = add.get_result(made.id)
        for name in ("id", "status", "enqueued_at", "args", "kwargs", "backend", "errors", "worker_ids", "task"):
            assert getattr(found, name) == getattr(made, name), name
        assert found.status == "READY"
        assert (found.args, found.kwargs, found.started_at, found.finished_at) == ([1], {"b": 2}, None, None)
        assert not found.is_finished
        with self.assertRaisesMessage(ValueError, "Task has not finished yet"):
            _ = found.return_value

    def test_a_savepoint_takes_its_jobs_with_it(self) -> None:
        kept = add.enqueue(1)
        try:
            with transaction.atomic():
                gone = add.enqueue(2)
                raise LookupError
        except LookupError:
            pass
        assert add.get_result(kept.id).args == [1]
        with self.assertRaises(TaskResultDoesNotExist):
            add.get_result(gone.id)

    def test_workers_are_woken_after_the_commit_of_the_outermost_transaction(self) -> None:
        with self.captureOnCommitCallbacks() as callbacks, transaction.atomic():
            add.enqueue(1)
            assert len(callbacks) == 0
        assert len(callbacks) == 1

    def test_signals_tell_of_each_new_job_and_a_receivers_error_stops_nothing(self) -> None:
        seen: list[Any] = []

        def note(sender: type, task_result: Any, **_: Any) -> None:
            seen.append((sender, task_result.id, task_result.status))
            raise LookupError("a receiver's error")

        task_enqueued.connect(note)
        try:
            with self.assertLogs("cronq.django", "WARNING"):
                made = add.enqueue(1)
        finally:
            task_enqueued.disconnect(note)
        assert seen == [(type(backend), made.id, "READY")]

    def test_coroutines_enqueue_and_ask(self) -> None:
        async def both() -> Any:
            made = await add.aenqueue(1, b=2)
            return made, await add.aget_result(made.id)

        made, found = async_to_sync(both)()
        assert found == made

    def test_other_tasks_and_unknown_ids(self) -> None:
        made = add.enqueue(1)
        with self.assertRaisesMessage(Exception, "shop.tasks.add"):
            mail.get_result(made.id)
        for text in (
            "",
            "abc",
            "-1",
            "0",
            "01",
            " 1",
            "1 ",
            "1.0",
            "１",
            "9" * 30,
            str(2**63),
            str(uuid.uuid4()),
            1,
            None,
        ):
            with self.assertNumQueries(0), self.assertRaises(TaskResultDoesNotExist):
                backend.get_result(text)
        with self.assertRaises(TaskResultDoesNotExist):
            backend.get_result(str(int(made.id) + 1_000_000))


class Values(TestCase):
    def test_what_json_has_comes_back_and_keys_of_cronq_are_nothing_special(self) -> None:
        given = {"$cronq": "datetime", "value": [1, 2.5, None, True, {"deep": {"$cronq": 1}}], "": "", "*": "star"}
        made = everything.enqueue(given, [given], **{"$cronq": given, "*": 1, "**": 2, "plain": given})
        found = everything.get_result(made.id)
        assert found.args == [given, [given]]
        assert found.kwargs == {"$cronq": given, "*": 1, "**": 2, "plain": given}

    def test_values_are_made_json_as_django_does(self) -> None:
        made = everything.enqueue((1, 2), key=b"bytes", ünïcode="\N{SNOWMAN}" * 300)
        found = everything.get_result(made.id)
        assert (found.args, found.kwargs) == ([[1, 2]], {"key": "bytes", "ünïcode": "\N{SNOWMAN}" * 300})

    def test_other_values_are_refused(self) -> None:
        for value in (datetime.datetime.now(datetime.UTC), uuid.uuid4(), {1}, object(), timezone.now().date(), add):
            with self.assertNumQueries(0), self.assertRaises(TypeError):
                everything.enqueue(value)
            with self.assertRaises(TypeError):
                everything.enqueue(key=[value])

    def test_nothing_is_bound_to_the_signature(self) -> None:
        made = add.enqueue("1", nonsense=3)
        assert (made.args, made.kwargs) == (["1"], {"nonsense": 3})


class Options(TestCase):
    def test_priorities_are_kept_and_a_higher_one_comes_first(self) -> None:
        for priority in (-100, -1, 0, 1, 100):
            made = add.using(priority=priority).enqueue(1)
            assert add.get_result(made.id).task.priority == priority
            assert backend.store.jobs.get(int(made.id)).priority == 100 - priority

    def test_queues_and_times_are_kept(self) -> None:
        later = timezone.now() + datetime.timedelta(days=1)
        made = mail.using(run_after=later).enqueue("ann")
        found = mail.get_result(made.id)
        assert (found.task.queue_name, found.task.run_after, found.status) == ("mail", later, "READY")
        assert backend.store.jobs.get(int(made.id)).state == "scheduled"
        past = add.using(run_after=timezone.now() - datetime.timedelta(days=1)).enqueue(1)
        assert backend.store.jobs.get(int(past.id)).state == "ready"

    def test_wrong_options_are_refused_when_a_task_gets_them(self) -> None:
        for options in (
            {"priority": 101},
            {"priority": 1.5},
            {"queue_name": "nowhere"},
            {"run_after": datetime.datetime(2030, 1, 1)},
            {"max_attempts": 0},
            {"time_limit": "soon"},
            {"unique": True},
        ):
            with self.subTest(options), self.assertRaises(InvalidTask):
                add.using(**options)

    def test_what_cronq_adds_is_stored_with_the_job(self) -> None:
        made = add.using(max_attempts=7, time_limit="5m", base="1m", cap=90, group="g", key="k").enqueue(1)
        job = backend.store.jobs.get(int(made.id))
        assert (job.max_attempts, job.time_limit, job.group, job.key) == (7, 300, "g", "k")
        assert add.enqueue(1).id != made.id

    def test_a_unique_twin_is_the_job_that_is_there(self) -> None:
        first = add.using(key="invoice-7", unique=True).enqueue(1)
        again = add.using(key="invoice-7", unique=True).enqueue(2)
        assert (again.id, again.args) == (first.id, [1])
        assert again.id != add.using(key="invoice-8", unique=True).enqueue(2).id
        both = backend.enqueue_many([(add.using(key="invoice-9", unique=True), (1,), {})] * 2)
        assert both[0].id == both[1].id

    def test_a_group_that_is_held_blocks_what_comes_after(self) -> None:
        made = backend.enqueue_many([(fail.using(group="one"), (), {}), (add.using(group="two"), (1,), {})])
        assert [one.status for one in made] == ["READY", "READY"]


class Transactions(TransactionTestCase):
    def test_a_commit_keeps_and_a_rollback_takes_everything(self) -> None:
        with transaction.atomic():
            kept = add.enqueue(1)
        try:
            with transaction.atomic():
                gone = add.enqueue(2)
                raise LookupError
        except LookupError:
            pass
        assert backend.get_result(kept.id).args == [1]
        with self.assertRaises(TaskResultDoesNotExist):
            backend.get_result(gone.id)

    def test_each_test_begins_with_no_job(self) -> None:
        assert backend.store.jobs.counts() == []
        add.enqueue(1)

    def test_and_so_does_the_next_one(self) -> None:
        self.test_each_test_begins_with_no_job()

    def test_outside_of_a_transaction_it_is_committed_at_once(self) -> None:
        with CaptureQueriesContext(connection) as captured:
            add.enqueue(1)
        assert [query["sql"].split(" ", 1)[0] for query in captured.captured_queries] == ["INSERT"]

    def test_missing_tables_are_explained(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE cronq_jobs RENAME TO elsewhere")
        try:
            with self.assertRaisesMessage(ImproperlyConfigured, "manage.py migrate"):
                add.enqueue(1)
        finally:
            with connection.cursor() as cursor:
                cursor.execute("ALTER TABLE elsewhere RENAME TO cronq_jobs")
