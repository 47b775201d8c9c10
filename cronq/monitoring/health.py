"""Compare the queue's statistics with thresholds, and write the result as plugins of Nagios and Icinga do."""

from __future__ import annotations

from cronq.model.printable import one_line
from cronq.model.states import SHOWN, UNFINISHED
from cronq.monitoring.thresholds import INFINITE, Range
from cronq.times import span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cronq.storage.stats import QueueStats

OK, WARNING, CRITICAL, UNKNOWN = range(4)
WORDS = ("OK", "WARNING", "CRITICAL", "UNKNOWN")

STATES = ("failed", "ready", *(state for state in SHOWN if state in UNFINISHED and state != "ready"))
_SCHEDULES = ("schedules-late", "missed", "schedules-failing", "schedules-differing")
_FLOW = ("limit-wait", "limits-differing", "batches-left-open")
MEASURES = (*STATES, "oldest-due", "last-run", "workers", "paused", "failing-runs", *_SCHEDULES, *_FLOW)
"""The measures that can have thresholds."""

_SECONDS = ("oldest-due", "last-run", "schedules-late", "limit-wait")
_COUNTED = {
    "workers": "{:.0f} worker{}",
    "paused": "{:.0f} queue{} paused",
    "failing-runs": "{:.0f} failing run{}",
    "missed": "{:.0f} due time{} of schedules missed",
    "schedules-failing": "{:.0f} schedule{} failing",
    "schedules-differing": "{:.0f} schedule{} declared differently",
    "limits-differing": "{:.0f} limit{} defined differently",
    "batches-left-open": "{:.0f} batch{} left open",
}
_AGES = {
    "schedules-late": "a schedule is late by {}",
    "limit-wait": "a job has waited {} for a place",
    "last-run": "last run {} ago",
}
_PLURALS = {"batches-left-open": "es"}
_SHOWN = ("failed", "ready", "retrying", "oldest-due")
"""The measures in the text if nothing is wrong."""

DEFAULTS: tuple[Mapping[str, Range | None], Mapping[str, Range | None]] = (
    {
        "failed": Range(0, 0),
        "oldest-due": Range(0, 300),
        "schedules-late": Range(0, 300),
        "missed": Range(0, 0),
        "schedules-failing": Range(0, 0),
        "schedules-differing": Range(0, 0),
        "limit-wait": Range(0, 3600),
        "limits-differing": Range(0, 0),
        "batches-left-open": Range(0, 0),
    },
    {"failing-runs": Range(0, 0), "oldest-due": Range(0, 1800), "schedules-late": Range(0, 1800)},
)
"""The default ranges of WARNING and CRITICAL."""


class Answer:
    """The result of the plugin: its exit status, OK to UNKNOWN, and its line."""

    def __init__(self, status: int, text: str, data: str = "") -> None:
        self.status = status
        self._text = text
        self._data = data

    def __str__(self) -> str:
        """Return the plugin's line. A | in the text is replaced: it begins the performance data."""
        told = f"CRONQ {WORDS[self.status]} - {one_line(self._text).replace('|', '/')}"
        return f"{told} | {self._data}" if self._data else told


def judge(
    stats: QueueStats,
    warning: Mapping[str, Range | None],
    critical: Mapping[str, Range | None],
    *,
    queues: Sequence[str] | None = None,
) -> Answer:
    """Compare the statistics, of `queues` or of all, with the thresholds; DEFAULTS where none are given."""
    ranges = (DEFAULTS[0] | warning, DEFAULTS[1] | critical)  # type: ignore[operator]
    values = measure(stats, queues)
    levels = {name: _level(value, [chosen.get(name) for chosen in ranges]) for name, value in values.items()}
    status = max(levels.values())
    wrong = [name for name in MEASURES if levels[name]]
    told = [name for name in wrong if levels[name] == status] + [name for name in wrong if levels[name] != status]
    text = ", ".join(_phrase(name, values[name]) for name in told or _SHOWN)
    data = " ".join(_data(name, value, ranges) for name, value in values.items())
    details = (_paused(stats, queues), _differing(stats), _waiting(stats, wrong), _left_open(stats), _last_error(stats))
    return Answer(status, text + "".join(details), data)


def measure(stats: QueueStats, queues: Sequence[str] | None) -> dict[str, float]:
    """Compute all measures: numbers, and ages in seconds; `last-run` is infinite if there was none."""
    values: dict[str, float] = {state: stats.total(state, queues) for state in STATES}
    values["oldest-due"] = stats.age(stats.oldest_due(queues)) or 0.0
    last_run = 0.0 if stats.run_is_on else stats.age(stats.last_run)
    values["last-run"] = INFINITE if last_run is None else last_run
    values["workers"] = len(_workers(stats, queues))
    values["failing-runs"] = len(stats.failing_runs)
    values["paused"] = len(stats.paused if queues is None else stats.paused & set(queues))
    values["schedules-late"] = max((one.late for one in stats.schedules), default=0.0)
    values["missed"] = sum(one.missed for one in stats.schedules)
    values["schedules-failing"] = sum(one.failing for one in stats.schedules)
    values["schedules-differing"] = len(stats.differing)
    values["limit-wait"] = max((one.waited(stats.now) for one in stats.waiting_limits), default=0.0)
    values["limits-differing"] = len(stats.differing_limits)
    values["batches-left-open"] = len(stats.batches.left_open)
    return values


def _workers(stats: QueueStats, queues: Sequence[str] | None) -> set[str]:
    if queues is None:
        return {worker.name for worker in stats.workers}
    return {worker.name for queue in queues for worker in stats.listeners(queue)}


def _level(value: float, ranges: Sequence[Range | None]) -> int:
    warning, critical = (chosen is not None and chosen.alerts(value) for chosen in ranges)
    return CRITICAL if critical else WARNING if warning else OK


def _differing(stats: QueueStats) -> str:
    told = [f"{name} by {' and '.join(hosts)}" for name, hosts in stats.differing.items()]
    schedules = f" (declared differently: {', '.join(told)})" if told else ""
    other = [f"{one.name} {one.configured.text() or 'undefined'} by another host" for one in stats.differing_limits]
    return schedules + (f" (defined differently: {', '.join(other)})" if other else "")


def _waiting(stats: QueueStats, wrong: Sequence[str]) -> str:
    """Name the limit whose oldest job has waited the longest for a place."""
    return f" (limit {stats.waiting_limits[0].text(stats.now)})" if "limit-wait" in wrong else ""


def _left_open(stats: QueueStats) -> str:
    left = stats.batches.left_open
    more = f" and {len(left) - 1} more" if len(left) > 1 else ""
    return f" ({left[0].text()}{more})" if left else ""


def _last_error(stats: QueueStats) -> str:
    run = stats.failing_runs[0] if stats.failing_runs else None
    return "" if run is None else f" (the last run on {run.host} ended with status {run.status}: {run.error})"


def _phrase(name: str, value: float) -> str:
    if name in _COUNTED:
        return _COUNTED[name].format(value, "" if value == 1 else _PLURALS.get(name, "s"))
    if name not in _SECONDS:
        return f"{value:.0f} {name}"
    if value == INFINITE:
        return "no run yet"
    if name in _AGES:
        return _AGES[name].format(span(value))
    return f"oldest due {span(value)}" if value else "none due"


def _paused(stats: QueueStats, queues: Sequence[str] | None) -> str:
    paused = sorted(stats.paused if queues is None else stats.paused & set(queues))
    return f" (paused: {', '.join(paused)})" if paused else ""


def _data(name: str, value: float, ranges: Sequence[Mapping[str, Range | None]]) -> str:
    warning, critical = (chosen.get(name) for chosen in ranges)
    unit = "s" if name in _SECONDS else ""
    shown = "U" if value == INFINITE else f"{value:.0f}{unit}"
    return f"{name}={shown};{warning or ''};{critical or ''};0"
