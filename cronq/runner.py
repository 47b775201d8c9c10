"""Implement `cronq run`: run all due jobs, and end when none is left."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from cronq.execution.due_jobs import DueJobs, Plan
from cronq.execution.engine import Engine
from cronq.execution.presence import Presence
from cronq.notifications import sender

if TYPE_CHECKING:
    from collections.abc import Callable

    from cronq.config.loader import Config
    from cronq.execution.results import Report, Summary
    from cronq.schedules.scheduler import Scheduler
    from cronq.store import Store
    from cronq.tasks.registry import Registry

__all__ = ["Plan", "Runner"]

_EVERYTHING = Plan()


class Runner:
    """Runs all due jobs; each `cronq run` makes one."""

    def __init__(
        self,
        store: Store,
        registry: Registry,
        config: Config,
        *,
        plan: Plan = _EVERYTHING,
        report: Report | None = None,
    ) -> None:
        self._config = config
        presence = Presence(store, config, kind="run", queues=plan.wanted.queues)
        children = plan.children or config.jobs
        self._engine = Engine.with_children(children, store, registry, config, presence=presence, report=report)
        self._source = DueJobs(store, self._engine, plan)
        self._pause = 0.0

    def schedule_by(self, scheduler: Scheduler) -> None:
        """Enqueue the jobs of due schedules too, regardless of the plan's filters."""
        self._engine.schedule_by(scheduler)

    def run(self) -> Summary:
        """Rescue and promote jobs, then run due jobs until none is due; returns the summary.

        Raises ConfigError if the configuration needs a library for notices that isn't installed, Unavailable if the
        database stays unreachable.
        """
        sender.check(self._config)
        with self._engine.running(self._signals()):
            while self._engine.step(self._source, self):
                pass
        return self._engine.summary

    def _signals(self) -> dict[int, Callable[[], None]]:
        """Return the handler of SIGHUP, which a closing terminal sends: as SIGTERM's, unless nohup had it ignored."""
        ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        return {} if ignored else {signal.SIGHUP: self._engine.stopping.note_signal}

    # Called by the engine

    def is_over(self) -> bool:
        """Tell whether a limit is reached, or nothing is due and no rate allows a start in a moment."""
        self._pause = 0.0
        if self._source.exhausted:
            return True
        if self._source.promote():
            return False
        seconds = self._source.open_rates()
        self._pause = seconds or 0.0
        return seconds is None

    def pause(self) -> float:
        """Return 0, or the seconds until a rate allows a start: for nothing else a run sleeps while no job runs."""
        return self._pause

    def watched(self) -> tuple[int, ...]:
        """Return no descriptors: only children and signals wake a run."""
        return ()
