"""Limits as a person meets them: in the configuration, at enqueue, in `why`, `limits` and `run`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.project import CONFIG, Project

LIMITS = """\
[limits]
smtp = 1
stripe = { concurrency = 5, rate = "2/1h" }
quick = { rate = "2/1s" }
"customer:*" = 1

[tasks."add"]
limit = "customer:{a}"
"""


@pytest.fixture
def limited(project: Project) -> Project:
    project.write("cronq.toml", CONFIG + LIMITS)
    return project


def says(number: int, limit: str) -> list[dict[str, Any]]:
    """So many jobs under a limit."""
    return [{"task": "say", "args": {"text": str(text)}, "limit": limit} for text in range(number)]


def states(project: Project) -> list[str]:
    return [state for (state,) in project.sql("SELECT state FROM cronq_jobs ORDER BY id")]


def test_jobs_wait_for_a_place_and_why_says_so(limited: Project) -> None:
    ids = [limited.enqueue("--limit", "smtp", "say", "text=0"), *limited.enqueue_all(*says(2, "smtp"))]
    assert states(limited) == ["ready", "pending", "pending"]
    assert limited.done("why", ids[2]) == (
        f'Job {ids[2]} is pending: limit "smtp" is full: 1 of 1 places taken, 1 before it; 1 of them by ready jobs of'
        ' queue "default", to which no worker listens: a place moves on after a minute.'
    )
    assert limited.done("limits").splitlines()[-1] == "smtp\t1\t1\t2\twhen one ends"
    limited.done("run")
    assert states(limited) == ["finished"] * 3
    assert limited.done("limits").splitlines()[-1] == "smtp\t1\t0\t0\tnow"


def test_a_limit_for_each_value_of_an_argument(limited: Project) -> None:
    limited.enqueue("add", "a:=1", "b:=1")
    limited.enqueue_all(*({"task": "add", "args": {"a": customer, "b": 1}} for customer in (1, 2)))
    assert states(limited) == ["ready", "pending", "ready"]
    names = [limit["name"] for limit in json.loads(limited.done("limits", "--json"))]
    assert names == ["customer:*", "customer:1", "customer:2"]


def test_lines_on_stdin(limited: Project) -> None:
    limited.enqueue_all(*says(2, "smtp"))
    assert states(limited) == ["ready", "pending"]


def test_a_rate_lets_so_many_start(limited: Project) -> None:
    ids = limited.enqueue_all(*says(4, "stripe"))
    limited.done("run")
    assert states(limited) == ["finished", "finished", "pending", "pending"]
    assert 'limit "stripe" allows 2 starts in 1h; the next is at ' in limited.done("why", ids[3])
    limited.done("limits", "set", "stripe", "--rate", "100/1h")
    limited.done("run")
    assert states(limited) == ["finished"] * 4


def test_a_run_waits_for_a_rate_that_opens_soon(limited: Project) -> None:
    limited.enqueue_all(*says(5, "quick"))
    limited.done("run")
    assert states(limited) == ["finished"] * 5
    started = sorted(job["started_at"] for job in limited.jobs())
    assert started[2] > started[0]


def test_set_and_reset(limited: Project) -> None:
    limited.enqueue_all(*says(4, "smtp"))
    limited.done("limits", "set", "smtp", "3")
    assert states(limited) == ["ready", "ready", "ready", "pending"]
    assert "smtp\t3 (set by hand)\t3\t1\twhen one ends" in limited.done("limits")
    limited.done("limits", "reset", "smtp")
    assert states(limited) == ["ready", "pending", "pending", "pending"]


def test_metrics_have_places_and_waiting_jobs(limited: Project) -> None:
    limited.enqueue_all(*says(3, "smtp"))
    lines = limited.done("metrics").splitlines()
    assert 'cronq_limit_taken{limit="smtp"} 1' in lines
    assert 'cronq_limit_pending{limit="smtp"} 2' in lines


def test_show_names_the_limit(limited: Project) -> None:
    job = limited.enqueue("--limit", "smtp", "say", "text=x")
    assert "  limit         smtp" in limited.done("show", job)
    assert limited.show(job)["limit"] == "smtp"


def test_a_nights_mails_with_a_step_that_is_lowered_and_raised(limited: Project) -> None:
    """A user: 1 at a time; the provider complains, then allows more; a job fails and is repaired."""
    limited.enqueue_all({"task": "give-up", "limit": "smtp"}, *says(3, "smtp"))
    limited.cronq("run")
    assert states(limited) == ["failed", "finished", "finished", "finished"]
    limited.done("limits", "set", "smtp", "2")
    limited.done("retry", "1")
    assert states(limited)[0] == "ready"
    limited.cronq("run")
    assert states(limited)[0] == "failed"


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (("enqueue", "--limit", "unknown", "say", "text=x"), 78, "limit 'unknown' is not defined"),
        (("enqueue", "--limit", "customer:{id}", "say", "text=x"), 65, "'id', which the job hasn't got"),
        (("limits", "set", "unknown", "1"), 1, "there is no limit 'unknown'"),
        (("limits", "set", "smtp"), 64, "a number of places, or --rate"),
        (("limits", "set", "smtp", "0"), 65, "'0' is not a whole number"),
        (("limits", "set", "smtp", "--rate", "often"), 65, "'often' is not a rate like 100/10s"),
    ],
)
def test_what_is_refused(limited: Project, arguments: tuple[str, ...], status: int, text: str) -> None:
    ran = limited.cronq(*arguments)
    assert ran.status == status
    assert text in ran.stderr


@pytest.mark.parametrize("wrong", ["smtp = 0", 'smtp = "many"', "smtp = { rate = 5 }", "smtp = {}", '"a*b" = 1'])
def test_a_wrong_definition_is_refused_where_it_is_needed(project: Project, wrong: str) -> None:
    project.write("cronq.toml", f"{CONFIG}[limits]\n{wrong}\n")
    ran = project.cronq("enqueue", "--limit", "smtp", "say", "text=x")
    assert ran.status == 78
    assert "cronq.toml: limits." in ran.stderr


def test_edit_puts_jobs_under_a_limit_and_takes_them_off(limited: Project) -> None:
    add = {"task": "add", "args": {"a": 1, "b": 1}}
    ids = limited.enqueue_all(add, add, {"task": "say", "args": {"text": "x"}})
    assert states(limited) == ["ready", "pending", "ready"]
    assert limited.done("edit", *ids, "--limit", "smtp", "--priority", "7").split() == [*map(str, ids)]
    assert states(limited) == ["ready", "pending", "pending"]
    assert [job["priority"] for job in limited.jobs()] == [7, 7, 7]
    assert limited.done("edit", ids[0], "--no-limit") == str(ids[0])
    assert states(limited) == ["ready", "ready", "pending"]
    assert limited.done("edit", ids[1], "--limit", "customer:{a}") == str(ids[1])
    assert states(limited) == ["ready", "ready", "ready"]
    ran = limited.cronq("edit", ids[1], "--limit", "nowhere")
    assert (ran.status, ran.stderr) == (
        78,
        "cronq: limit 'nowhere' is not defined: [limits] in the configuration has smtp, stripe, quick, customer:*\n",
    )
    assert limited.cronq("edit", ids[1], "--limit", "customer:{c}").status == 65
    assert limited.cronq("edit", ids[1], "--limit", "smtp", "--no-limit").status == 64
    limited.done("run")
    assert (
        limited.cronq("edit", ids[1], "--no-limit").stderr == f"cronq: job {ids[1]} is finished and can't be edited\n"
    )
