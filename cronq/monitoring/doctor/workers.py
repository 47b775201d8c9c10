"""Check the registered workers: their heartbeats and versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cronq import __version__
from cronq.monitoring.doctor.finding import Finding, fine, problem, warning
from cronq.times import span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cronq.monitoring.doctor.context import Installation


def silent(installation: Installation) -> Iterator[Finding]:
    """Find registered workers that were stopped by a signal, or that send no heartbeat."""
    stats = installation.stats
    if stats is None:
        return
    stopped = [worker for worker in stats.known if worker.is_stopped]
    for worker in stopped:
        yield problem(
            f"{worker.kind} {worker.name} (process {worker.pid}) is stopped by a signal: it starts nothing",
            f"`kill -CONT {worker.pid}` lets it go on",
        )
    for worker in stats.silent:
        if worker in stopped:
            continue
        yield warning(
            f"{worker.kind} {worker.name} sent no heartbeat for {span(stats.age(worker.seen_at) or 0.0)}",
            f"if process {worker.pid} on {worker.host} is dead, the next run frees its jobs; if it isn't, it hangs",
        )
    if not stats.silent and not stopped:
        yield fine(f"{len(stats.workers) or 'no'} workers at this moment")


def versions(installation: Installation) -> Iterator[Finding]:
    """Find workers of another version than this one."""
    if installation.stats is None:
        return
    for worker in installation.stats.workers:
        if worker.version != __version__:
            yield warning(
                f"{worker.kind} {worker.name} is cronq {worker.version}, this is {__version__}",
                f"restart it, or update cronq on {worker.host}",
            )
