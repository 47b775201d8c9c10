"""How the state of a queue is judged."""

from __future__ import annotations

import re

import pytest

from cronq.model.batch import BatchRow
from cronq.model.limits import Bounds
from cronq.monitoring.health import MEASURES, judge
from cronq.monitoring.thresholds import parse_thresholds
from cronq.storage.flow_stats import LeftOpen, LimitStats
from cronq.storage.stats import QueueStats
from cronq.storage.workers import Worker
from cronq.times import SECOND

NOW = 1_000_000 * SECOND
PERFORMANCE = re.compile(r"[a-z-]+=(U|[\d.]+s?);[@~:\d.]*;[@~:\d.]*;0")


def stats(*lanes: tuple[str, str, int, float | None]) -> QueueStats:
    """Queue, state, number, and how many seconds ago the oldest became due."""
    return QueueStats(NOW, [(q, s, n, None if age is None else NOW - round(age * SECOND)) for q, s, n, age in lanes])


def answer(
    seen: QueueStats, *, warning: str = "", critical: str = "", queues: list[str] | None = None
) -> tuple[int, str]:
    ranges = (parse_thresholds(text.split(), what="x", known=MEASURES) for text in (warning, critical))
    given = judge(seen, *ranges, queues=queues)
    text, _, data = str(given).partition(" | ")
    assert "\n" not in text
    assert all(PERFORMANCE.fullmatch(word) for word in data.split(" ")), data
    assert sorted(word.partition("=")[0] for word in data.split(" ")) == sorted(MEASURES)
    return given.status, text


@pytest.mark.parametrize(
    ("lanes", "status", "text"),
    [
        ([], 0, "CRONQ OK - 0 failed, 0 ready, 0 retrying, none due"),
        ([("a", "ready", 3, 60)], 0, "CRONQ OK - 0 failed, 3 ready, 0 retrying, oldest due 60s"),
        ([("a", "failed", 3, None)], 1, "CRONQ WARNING - 3 failed"),
        ([("a", "ready", 3, 301)], 1, "CRONQ WARNING - oldest due 5m"),
        ([("a", "retrying", 3, 301)], 1, "CRONQ WARNING - oldest due 5m"),
        ([("a", "retrying", 3, -301)], 0, "CRONQ OK - 0 failed, 0 ready, 3 retrying, none due"),
        ([("a", "ready", 3, 7300), ("b", "failed", 1, None)], 2, "CRONQ CRITICAL - oldest due 2h, 1 failed"),
    ],
)
def test_the_usual_thresholds(lanes: list[tuple[str, str, int, float | None]], status: int, text: str) -> None:
    assert answer(stats(*lanes)) == (status, text)


def test_thresholds_replace_the_usual_ones_of_their_measure() -> None:
    seen = stats(("a", "failed", 3, None), ("a", "ready", 9, 400))
    assert answer(seen, warning="failed=5 oldest-due=10m")[0] == 0
    assert answer(seen, warning="failed= oldest-due= ready=8") == (1, "CRONQ WARNING - 9 ready")
    assert answer(seen, warning="failed=", critical="ready=8") == (2, "CRONQ CRITICAL - 9 ready, oldest due 6m")


def test_only_these_queues() -> None:
    seen = stats(("a", "failed", 3, None), ("b", "ready", 9, 400))
    assert answer(seen, queues=["a"]) == (1, "CRONQ WARNING - 3 failed")
    assert answer(seen, queues=["b"]) == (1, "CRONQ WARNING - oldest due 6m")
    assert answer(seen, queues=["c"])[0] == 0


def test_a_paused_queue_is_not_late() -> None:
    seen = stats(("a|b", "ready", 3, 9999))
    seen.paused = frozenset({"a|b"})
    assert answer(seen) == (0, "CRONQ OK - 0 failed, 3 ready, 0 retrying, none due (paused: a/b)")
    assert answer(seen, warning="paused=0") == (1, "CRONQ WARNING - 1 queue paused (paused: a/b)")


def test_runs_and_workers() -> None:
    seen = stats()
    assert answer(seen, warning="last-run=3m workers=1:") == (1, "CRONQ WARNING - no run yet, 0 workers")
    seen.last_run = NOW - 200 * SECOND
    seen.workers = [
        Worker("w", "work", "h", 1, queues, "1", NOW, NOW, "running", None, 0, None) for queues in ("", "a !b")
    ]
    assert answer(seen, warning="last-run=3m workers=1:") == (1, "CRONQ WARNING - last run 3m ago")
    seen.run_is_on = True
    assert answer(seen, warning="last-run=3m workers=1:")[0] == 0


def test_jobs_that_wait_long_for_a_place() -> None:
    seen = stats()
    seen.limits = [
        LimitStats(name, name, Bounds(10), Bounds(), Bounds(), None, 10, 312, NOW - hours * 3600 * SECOND)
        for name, hours in (("stripe", 1), ("smtp", 2))
    ]
    told = "a job has waited 2h for a place (limit smtp 10 of 10 taken, 312 waiting, the oldest for 2h)"
    assert answer(seen) == (1, f"CRONQ WARNING - {told}")
    assert answer(seen, critical="limit-wait=90m") == (2, f"CRONQ CRITICAL - {told}")
    assert answer(seen, warning="limit-wait=3h") == (0, "CRONQ OK - 0 failed, 0 ready, 0 retrying, none due")


def test_limits_that_another_host_defines_differently() -> None:
    seen = stats()
    seen.differing_limits = [LimitStats("smtp", "smtp", Bounds(10), Bounds(), Bounds(10), None)]
    told = "CRONQ WARNING - 1 limit defined differently (defined differently: smtp 10 by another host)"
    assert answer(seen) == (1, told)
    assert answer(seen, warning="limits-differing=1")[0] == 0


def test_batches_that_were_left_open() -> None:
    seen = stats()
    seen.batches.left_open = [
        LeftOpen(BatchRow(number, "import", "continue", NOW, "ann@web1", None, None, None, None), NOW)
        for number in (7, 9)
    ]
    assert answer(seen) == (
        1,
        "CRONQ WARNING - 2 batches left open"
        " (batch 7 (import), opened by ann@web1 at 1970-01-12T13:46:40.000000Z and 1 more)",
    )
    assert answer(seen, warning="batches-left-open=")[0] == 0
