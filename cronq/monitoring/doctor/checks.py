"""Run all checks in turn; a check that fails or hangs doesn't stop the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cronq.errors import ConfigError, CronqError
from cronq.monitoring.doctor import (
    configuration,
    cron,
    database,
    disk,
    flow,
    jobs,
    locks,
    notifications,
    owners,
    schedules,
    transports,
    workers,
)
from cronq.monitoring.doctor.context import Installation
from cronq.monitoring.doctor.finding import Finding, problem
from cronq.system.deadline import DeadlineExceeded, deadline
from cronq.times import span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from cronq.config.loader import Config

    Check = Callable[[Installation], Iterator[Finding]]

_LIMIT = 10.0
"""The most seconds for one check."""

CHECKS: Sequence[tuple[str, Check]] = (
    ("config", configuration.source),
    ("config", configuration.secrecy),
    ("config", configuration.application),
    ("database", database.reachable),
    ("database", database.schema),
    ("database", database.indexes),
    ("database", database.writable),
    ("database", database.clock),
    ("disk", disk.file_system),
    ("disk", disk.write_ahead_log),
    ("disk", disk.space),
    ("disk", disk.lock_file_system),
    ("locks", locks.lock_folder),
    ("locks", locks.lock_files),
    ("cron", cron.last_call),
    ("cron", cron.last_ends),
    ("cron", cron.cron_files),
    ("cron", cron.mailer),
    ("cron", owners.callers),
    ("wake", transports.transports),
    ("notify", notifications.libraries),
    ("workers", workers.silent),
    ("workers", workers.versions),
    ("schedules", schedules.schedules),
    ("jobs", jobs.commands),
    ("jobs", jobs.unknown_tasks),
    ("jobs", jobs.unserved_queues),
    ("jobs", jobs.unclaimable),
    ("jobs", jobs.unkillable),
    ("jobs", jobs.paused_queues),
    ("jobs", flow.open_batches),
    ("jobs", flow.waiting_for_themselves),
    ("jobs", flow.waiting),
    ("jobs", flow.differing),
)


class Located(NamedTuple):
    """A finding with the part of the installation that it concerns."""

    area: str
    finding: Finding


def examine(load: Callable[[], Config]) -> Iterator[Located]:
    """Yield all findings; if the configuration can't be read, that is the only one."""
    try:
        config = load()
    except CronqError as error:
        yield Located("config", problem(str(error), "put the configuration right, then call doctor again"))
        return
    installation = Installation(config)
    try:
        yield from examine_installation(installation)
    finally:
        installation.close()


def examine_installation(installation: Installation) -> Iterator[Located]:
    """Yield all findings on an installation; an error in the configuration that stops many checks is reported once."""
    told: set[str] = set()
    for area, check in CHECKS:
        for finding in _findings(check, installation, told):
            yield Located(area, finding)


def _findings(check: Check, installation: Installation, told: set[str]) -> list[Finding]:
    found: list[Finding] = []
    try:
        with deadline(_LIMIT):
            found.extend(check(installation))
    except DeadlineExceeded:
        found.append(
            problem(f"{_name(check)}: no answer within {span(_LIMIT)}", "see whether the machine behind it is up")
        )
    except ConfigError as error:
        if str(error) not in told:
            told.add(str(error))
            found.append(problem(str(error), "put the configuration right, then call doctor again"))
    except CronqError as error:
        found.append(problem(f"{_name(check)}: {error}", "see the findings before this one"))
    except Exception as error:  # a broken check must not hide the others
        text = f"{_name(check)} could not be checked: {type(error).__name__}: {error}"
        found.append(problem(text, "call `cronq --debug status`, and report it if that works"))
    return found


def _name(check: Check) -> str:
    return check.__name__.replace("_", " ")
