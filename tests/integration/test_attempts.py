"""What an attempt that failed leaves: its worker, its exception's importable path; and results that can't be stored."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import cronq
from cronq import errors
from tests.integration.running import Queue

RAISES = """
class Shop:
    class Refused(ValueError):
        pass


@queue.task
def raises(what):
    mark("begun", os.getpid())
    if what == "nested":
        raise Shop.Refused("no")
    if what == "death":
        os.kill(os.getpid(), signal.SIGKILL)
    raise KeyError(what)
"""

RETURNS = """
@queue.task
def returns(size):
    return "x" * size


@queue.task(results="require")
def must_return(size):
    return open("/dev/null") if size < 0 else "x" * size


@queue.on_error
def tell(job, error):
    mark("told", type(error).__name__)
"""


def shown(queue: Queue, job: int) -> dict[str, Any]:
    ran = queue.project.cronq("show", str(job), "--json")
    assert ran.status == 0, ran
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


@pytest.mark.parametrize(
    ("what", "kind", "path"),
    [
        ("nested", "Refused", "jobs.Shop.Refused"),
        ("key", "KeyError", "builtins.KeyError"),
        ("death", "ExecutorDied", "cronq.errors.ExecutorDied"),
    ],
)
def test_an_attempt_names_its_worker_and_where_its_error_can_be_imported(
    queue: Queue, what: str, kind: str, path: str
) -> None:
    queue.tasks(RAISES)
    job = queue.put("raises", {"what": what})
    queue.run()
    (attempt,) = shown(queue, job)["attempts"]
    assert (attempt["error"]["class"], attempt["error"]["path"]) == (kind, path)
    assert attempt["worker"] == queue.row(job)["worker"]
    assert f", worker {attempt['worker']}" in queue.project.cronq("show", str(job)).stdout


def test_each_end_without_an_exception_has_a_class() -> None:
    code = "".join(file.read_text() for file in Path(cronq.__path__[0]).rglob("*.py"))
    named = set(re.findall(r'Failure\(\s*"(\w+)"', code)) - {"NotAllowed", "Refused", "Stopped"}  # end no attempt
    assert len(named) > 5
    for name in named:
        assert issubclass(getattr(errors, name), BaseException)


@pytest.mark.parametrize("size", [70_000, -1])
def test_a_result_that_must_be_stored_and_cant_fails_the_job_for_good(queue: Queue, size: int) -> None:
    queue.tasks(RETURNS)
    job = queue.put("must_return", {"size": size})
    queue.run()
    row, (attempt,) = queue.row(job), queue.attempts(job)
    assert (row["state"], row["attempt"], row["error_class"]) == ("failed", 1, "TypeError")
    assert (attempt["error_path"], attempt["traceback"]) == ("builtins.TypeError", None)
    assert attempt["error_message"].startswith("the result can't be stored: ")
    assert queue.recorded() == ["told TypeError"]


def test_the_limit_of_a_result_is_a_setting_and_without_a_demand_it_is_a_warning(queue: Queue) -> None:
    queue.tasks(RETURNS, "result_limit = '100K'\n")
    kept, left_out = (queue.put("returns", {"size": size}) for size in (90_000, 110_000))
    queue.run_silently()
    assert [len(queue.row(job)["result"] or "") for job in (kept, left_out)] == [90_002, 0]
    assert (queue.state(left_out), queue.row(left_out)["outcome"]) == ("finished", "warning")
    queue.tasks(RETURNS, "result_limit = '100K'\nresults = 'require'\n")
    job = queue.put("returns", {"size": 110_000})
    queue.run()
    assert (queue.state(job), queue.row(job)["error_class"]) == ("failed", "TypeError")
