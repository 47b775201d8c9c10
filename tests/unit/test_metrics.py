"""What Prometheus makes of our text."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from cronq.model.batch import BatchRow
from cronq.model.limits import Bounds
from cronq.monitoring.metrics import expose
from cronq.storage.flow_stats import LeftOpen, LimitStats
from cronq.storage.stats import QueueStats, RecentStats
from cronq.storage.workers import Worker
from cronq.times import SECOND

NOW = 1_000_000 * SECOND
NASTY = 'a "b" \\ \n{c="d"}'


def parsed(stats: QueueStats, recent: RecentStats) -> dict[tuple[str, ...], float]:
    text = expose(stats, recent, version="1.2", database="sqlite")
    assert text.endswith("\n")
    values: dict[tuple[str, ...], float] = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation
        assert family.type == ("counter" if family.name == "cronq_attempts" else "gauge")
        for sample in family.samples:
            assert sample.timestamp is None
            values[sample.name, *sample.labels.values()] = sample.value
    return values


def test_every_figure_is_read_back() -> None:
    stats = QueueStats(NOW, [("mail", "ready", 7, NOW - 90 * SECOND), (NASTY, "failed", 2, None)])
    stats.paused = frozenset({"mail"})
    stats.last_run = NOW - 30 * SECOND
    stats.run_is_on = True
    stats.workers = [Worker("w", "work", "h", 1, "", "1", NOW, NOW, "paused", None, 0, None)]
    recent = RecentStats()
    recent.newest_id = 123_456_789_012
    recent.ended = [("mail", "finished", 5)]
    recent.outcomes = [("timeout", 3)]
    recent.durations = [("mail", 5, 0.25, 1.5)]
    recent.totals = [("mail", "finished", 1_000_000_007)]
    values = parsed(stats, recent)
    assert values["cronq_info", "1.2", "sqlite"] == 1
    assert values["cronq_jobs", "mail", "ready"] == 7
    assert values["cronq_jobs", "mail", "failed"] == 0
    assert values["cronq_jobs", NASTY, "failed"] == 2
    assert values["cronq_oldest_due_age_seconds", "mail"] == 90
    assert values["cronq_oldest_due_age_seconds", NASTY] == 0
    assert values["cronq_queue_paused", "mail"] == 1
    assert values["cronq_last_run_timestamp_seconds",] == 999_970
    assert values["cronq_run_active",] == 1
    assert values["cronq_workers", "work", "paused"] == 1
    assert values["cronq_workers", "run", "running"] == 0
    assert values["cronq_newest_job_id",] == 123_456_789_012
    assert values["cronq_recent_jobs", "mail", "finished"] == 5
    assert values["cronq_attempts_total", "mail", "finished"] == 1_000_000_007
    assert values["cronq_recent_unsuccessful_attempts", "timeout"] == 3
    assert values["cronq_recent_duration_mean_seconds", "mail"] == 0.25
    assert values["cronq_recent_duration_max_seconds", "mail"] == 1.5


def test_limits_and_batches() -> None:
    stats = QueueStats(NOW, [])
    stats.limits = (
        LimitStats("smtp", "smtp", Bounds(10), Bounds(), Bounds(), None, 10, 312, NOW - 7200 * SECOND),
        LimitStats("unused", "unus*", Bounds(1), Bounds(), Bounds(), None),
    )
    stats.batches.open, stats.batches.running = 2, 3
    stats.batches.left_open = (LeftOpen(BatchRow(7, None, "continue", 0, "ann", None, None, None, None), 0),)
    values = parsed(stats, RecentStats())
    limit = {name.removeprefix("cronq_limit_"): value for (name, *labels), value in values.items() if "smtp" in labels}
    assert limit == {"places": 10, "taken": 10, "pending": 312, "wait_seconds": 7200}
    assert not [name for name, *labels in values if "unused" in labels]
    assert values["cronq_batches", "open"] == 2
    assert values["cronq_batches", "running"] == 3
    assert values["cronq_batches_left_open",] == 1


def test_an_empty_queue_has_figures_too() -> None:
    values = parsed(QueueStats(NOW, []), RecentStats())
    assert values["cronq_newest_job_id",] == 0
    assert not [name for name, *_ in values if name == "cronq_last_run_timestamp_seconds"]
