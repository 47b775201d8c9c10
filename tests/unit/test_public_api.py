"""What users may rely on: a name that appears or disappears here is a decision."""

from __future__ import annotations

import inspect
import re
from datetime import timedelta

import pytest

import cronq
from cronq import Retry, Snooze, errors, testing
from cronq.app import Cronq
from cronq.client.task_handles import ClassTask, FunctionTask
from cronq.execution.verdict import verdict_of


class Performer:
    def perform(self) -> None: ...


def public(thing: object) -> set[str]:
    return {name for name in dir(thing) if not name.startswith("_")}


def test_the_package_has_at_most_a_dozen_names() -> None:
    assert set(cronq.__all__) == {
        "Cronq",
        "CronqError",
        "Fail",
        "Job",
        "JobFailed",
        "Retry",
        "Skip",
        "Snooze",
        "Stop",
        "TimeLimitExceeded",
        "__version__",
        "current_job",
    }
    for name in cronq.__all__:
        assert getattr(cronq, name) is not None


def test_type_checkers_see_what_is_imported() -> None:
    seen = re.findall(r"^    from (\S+) import (\w+) as \2$", inspect.getsource(cronq), re.MULTILINE)
    assert {name: home for home, name in seen} == cronq._HOMES


def test_the_tree_of_errors_has_them_all() -> None:
    raised = {name for name, one in vars(errors).items() if inspect.isclass(one) and issubclass(one, BaseException)}
    assert raised == set(re.findall(r"^\W*(\w+)  +", errors.__doc__ or "", re.MULTILINE))


@pytest.mark.parametrize("delay", [90, "90s", timedelta(seconds=90)])
def test_a_verdict_takes_a_delay_in_each_form(delay: float | str | timedelta) -> None:
    assert [verdict_of(error, 0).delay for error in (Retry(delay=delay), Snooze(delay))] == [90.0, 90.0]


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    assert not hasattr(cronq, "Celery")


def test_the_methods_of_a_queue() -> None:
    assert public(Cronq) == {
        *("from_config", "config", "configure", "close", "store", "clock"),
        *("task", "on", "before_job", "after_job", "on_error", "job_metadata", "on_notify", "on_child_start"),
        *("around_job", "around_child"),
        *("cron", "every", "definitions", "fire_until"),
        *("enqueue", "command", "enqueue_many", "chain", "emit", "later"),
        *("aenqueue", "aenqueue_many", "aemit", "aget", "await_result", "alifespan"),
        *("batch", "open_batch", "get_batch"),
        *("get", "wait", "ended", "unfinished", "cancel", "retry"),
    }


def test_what_a_task_has() -> None:
    queue = Cronq("sqlite:///never-opened.db")
    function = queue.task(name="f")(lambda: None)
    kind = queue.task(name="c")(Performer)
    assert {"name", "enqueue", "aenqueue", "using", "job"} == public(function) == public(kind)
    assert public(function.using()) == {"enqueue", "aenqueue", "job"}
    assert isinstance(function, FunctionTask)
    assert isinstance(kind, ClassTask)


def test_the_names_for_users_tests() -> None:
    assert set(testing.__all__) == {"ManualClock", "capture", "drain", "inline", "scratch"}


def test_everything_public_says_what_it_is() -> None:
    for name in public(Cronq):
        assert inspect.getdoc(inspect.getattr_static(Cronq, name)), name
