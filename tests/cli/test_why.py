"""One sentence for every state and every reason."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cronq.model.job import Failure, Job, State
from cronq.monitoring.why import Busy, Facts, explain
from cronq.storage.actions import Action
from cronq.storage.runs import RunEnd

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
EARLIER = NOW - timedelta(minutes=5)
LATER = NOW + timedelta(hours=3)
BROKEN = Failure("ValueError", "it broke.")

JOB = Job(
    id=7, queue="mail", task="send", args={}, command=None, state="ready", priority=50, key=None, group=None,
    unique=False, event=None, attempt=0, max_attempts=20, snoozes=0, crashes=0, created_at=EARLIER,
    available_at=EARLIER, started_at=None, finished_at=None, outcome=None, error=None, host=None, pid=None,
    worker=None, time_limit=None, blocked_by=None, result=None, notes=None,
)  # fmt: skip
HOLDER = JOB._replace(id=5, state="failed", group="g")
SEEN = Facts(NOW, looked_at=NOW, task_known=True)
DUE = "is due since 2026-11-21 07:55:00 UTC; "
BY_HAND = "`cronq doctor` says why cron doesn't call, `cronq run` does it now"
START = "`cronq work --queue mail` starts one"
DEPLOY = "deploy the code that has it, then `cronq reload-workers`"
RUNNING = {"state": "running", "attempt": 2, "started_at": EARLIER, "host": "web1", "pid": 42}
BLOCKED = {"state": "blocked", "group": "g", "blocked_by": 5}
ENDED = {"finished_at": EARLIER, "attempt": 1}
RETRYING = {"state": "retrying", "attempt": 2, "error": BROKEN}

CASES: list[tuple[dict[str, Any], Facts, str]] = [
    ({"state": "scheduled", "available_at": LATER}, SEEN, "is scheduled: it is due at 2026-11-21 11:00:00 UTC, in 3h"),
    ({"state": "scheduled"}, SEEN, f'{DUE}it waits its turn in queue "mail" with priority 50'),
    ({}, SEEN, f'{DUE}it waits its turn in queue "mail" with priority 50'),
    ({}, SEEN._replace(looked_at=None), f"{DUE}no runner has looked yet (is `cronq run` in the crontab?); {BY_HAND}"),
    (
        {},
        SEEN._replace(looked_at=EARLIER - timedelta(hours=1)),
        f"{DUE}no runner has looked since (the last one did at 2026-11-21 06:55:00 UTC); {BY_HAND}",
    ),
    (
        {},
        SEEN._replace(looked_at=None, workers=2),
        f'{DUE}no worker listens to queue "mail": all 2 workers are there for others; {START}',
    ),
    (
        {},
        SEEN._replace(looked_at=EARLIER - timedelta(hours=1), workers=1),
        f'{DUE}no worker listens to queue "mail": the only worker is there for others; {START}',
    ),
    (
        {},
        SEEN._replace(looked_at=None, workers=1, listening=1),
        f'{DUE}it waits its turn in queue "mail" with priority 50',
    ),
    (
        {},
        SEEN._replace(workers=3, listening=1, all_paused=True),
        f'{DUE}the only worker of queue "mail" is paused (SIGCONT on its host resumes)',
    ),
    (
        {},
        SEEN._replace(workers=3, listening=2, all_paused=True, pids_here=(12, 13)),
        f'{DUE}all 2 workers of queue "mail" are paused: `kill -CONT 12 13` resumes them',
    ),
    (
        {},
        SEEN._replace(workers=1, stopped=(12,)),
        f'{DUE}the only worker of queue "mail" is stopped by a signal: `kill -CONT 12` lets it go on',
    ),
    (
        {},
        SEEN._replace(failed_run=RunEnd("web1", "", 0, 60_000_000, 78, "no module named 'shop'.")),
        f"{DUE}the last `cronq run` on web1 ended at 1970-01-01 00:01:00 UTC with status 78: no module named 'shop';"
        " mend that, then call it by hand to see that it works",
    ),
    (
        {},
        SEEN._replace(listening=1, busy=tuple(Busy(one, "slow", EARLIER) for one in (1, 2, 3, 4))),
        f'{DUE}it waits its turn in queue "mail" with priority 50; running before it:'
        " job 1 (slow, since 2026-11-21 07:55:00 UTC, 5m), job 2 (slow, since 2026-11-21 07:55:00 UTC, 5m),"
        " job 3 (slow, since 2026-11-21 07:55:00 UTC, 5m) and 1 more: `cronq cancel --kill 1 2 3` ends them",
    ),
    ({}, SEEN._replace(ahead=1), f'{DUE}it waits its turn in queue "mail" with priority 50, behind 1 other'),
    ({}, SEEN._replace(ahead=12), f'{DUE}it waits its turn in queue "mail" with priority 50, behind 12 others'),
    (
        {},
        SEEN._replace(unclaimable="priority can't be read (it is no whole number): first"),
        f"{DUE}no runner takes it: priority can't be read (it is no whole number): first;"
        " `cronq edit 7 --priority 50` puts that right",
    ),
    ({}, SEEN._replace(paused=frozenset({"mail"})), f'{DUE}queue "mail" is paused: `cronq resume mail`'),
    (
        {},
        SEEN._replace(paused=frozenset({"mail"}), paused_by=Action("paused", 0, "ann@web1", None)),
        f'{DUE}queue "mail" is paused by ann@web1 since 1970-01-01 00:00:00 UTC: `cronq resume mail`',
    ),
    (
        {},
        SEEN._replace(last_action=Action("retried", 0, "ann@web1", None)),
        f'{DUE}it waits its turn in queue "mail" with priority 50; it was retried by ann@web1 at'
        " 1970-01-01 00:00:00 UTC",
    ),
    ({}, SEEN._replace(task_known=False), f'{DUE}task "send" is not known to the configured app: {DEPLOY}'),
    (
        {"task": "command", "command": "x"},
        SEEN._replace(commands_allowed=False),
        f"{DUE}shell commands are not allowed by this configuration (commands = true allows them)",
    ),
    (
        RETRYING | {"available_at": LATER},
        SEEN,
        "is retrying: attempt 2 of 20 ended with ValueError: it broke, the next one is due at "
        "2026-11-21 11:00:00 UTC, in 3h",
    ),
    (
        RETRYING,
        SEEN._replace(paused=frozenset({"mail"})),
        'is due for another attempt (attempt 2 of 20 ended with ValueError: it broke); queue "mail" is paused:'
        " `cronq resume mail`",
    ),
    (
        {"state": "waiting", "available_at": LATER},
        SEEN,
        "is waiting: its task asked to be asked again; it is asked again at 2026-11-21 11:00:00 UTC, in 3h",
    ),
    (
        {"state": "waiting", "available_at": LATER, "error": Failure("UnknownTask", "unknown task 'send'")},
        SEEN._replace(task_known=False),
        "is waiting: UnknownTask: unknown task 'send'; it is asked again at 2026-11-21 11:00:00 UTC, in 3h",
    ),
    (
        {
            "state": "waiting",
            "available_at": LATER,
            "worker": "w1",
            "host": "web1",
            "error": Failure("UnknownTask", "unknown task 'send'"),
        },
        SEEN,
        'is waiting: worker w1 on web1 runs older code, which doesn\'t know task "send"; the configured app does:'
        " `cronq reload-workers` has workers load it; the job is asked again at 2026-11-21 11:00:00 UTC",
    ),
    (BLOCKED, SEEN, 'is blocked: group "g" is held by job 5'),
    (
        BLOCKED,
        SEEN._replace(holder=HOLDER),
        'is blocked: group "g" is held by job 5, which failed and keeps the group: `cronq retry 5` or `cronq cancel 5`',
    ),
    (
        BLOCKED,
        SEEN._replace(holder=HOLDER._replace(state="retrying", available_at=LATER)),
        'is blocked: group "g" is held by job 5, which is retrying until 2026-11-21 11:00:00 UTC',
    ),
    (
        {"state": "pending"},
        SEEN._replace(awaited=HOLDER._replace(state="retrying", available_at=LATER), awaited_more=2),
        "is pending: it comes after job 5, which is retrying until 2026-11-21 11:00:00 UTC, and 2 more",
    ),
    (
        {"state": "pending"},
        SEEN._replace(awaited=HOLDER._replace(state="pending"), circle=5),
        "is pending: it comes after job 5, which is pending; these wait for each other in a circle: `cronq release 5`"
        " lets job 5 go without what it waits for",
    ),
    (
        {"state": "cancelled", **ENDED, "error": Failure("Unmet", "job 5, which it comes after, failed")},
        SEEN,
        "was cancelled at 2026-11-21 07:55:00 UTC: job 5, which it comes after, failed; `cronq retry 5` puts both back",
    ),
    (
        {"state": "cancelled", **ENDED, "error": Failure("Unmet", "job 5, which has to fail before it, has finished")},
        SEEN,
        "was cancelled at 2026-11-21 07:55:00 UTC: job 5, which has to fail before it, has finished;"
        " `cronq release 7` runs it all the same",
    ),
    (
        RUNNING,
        SEEN,
        "is running on web1 as process 42 since 2026-11-21 07:55:00 UTC, for 5m (attempt 2 of 20)",
    ),
    (
        RUNNING,
        SEEN._replace(owner_seen=EARLIER, lease=timedelta(seconds=60)),
        "is running on web1 as process 42 since 2026-11-21 07:55:00 UTC, for 5m (attempt 2 of 20); its runner has "
        "sent no heartbeat since 2026-11-21 07:55:00 UTC, so the next one on that host, or any one when the lease "
        "ends, rescues the job",
    ),
    (
        RUNNING,
        SEEN._replace(owner_seen=NOW, lease=timedelta(seconds=60)),
        "is running on web1 as process 42 since 2026-11-21 07:55:00 UTC, for 5m (attempt 2 of 20)",
    ),
    (
        RUNNING,
        SEEN._replace(outlived_by="process 43 (sudo)"),
        "is running on web1 (attempt 2 of 20): its own process is dead, and it is not started again "
        "before process 43 (sudo) has ended, which cronq may not kill",
    ),
    ({"state": "running", "attempt": 1}, SEEN, "is claimed and about to start (attempt 1 of 20)"),
    ({"state": "finished"} | ENDED, SEEN, "has finished at 2026-11-21 07:55:00 UTC"),
    (
        {"state": "finished", "warnings": ["odd"]} | ENDED,
        SEEN,
        "has finished at 2026-11-21 07:55:00 UTC with a warning: odd",
    ),
    (
        {"state": "failed", "error": BROKEN} | ENDED,
        SEEN,
        "failed for good at 2026-11-21 07:55:00 UTC after 1 attempt: ValueError: it broke; "
        "`cronq retry 7` tries it again",
    ),
    (
        {"state": "cancelled", "error": Failure("Skip", "not needed")} | ENDED,
        SEEN,
        "was cancelled at 2026-11-21 07:55:00 UTC: not needed",
    ),
]


@pytest.mark.parametrize(("fields", "facts", "sentence"), CASES)
def test_one_sentence_says_why(fields: dict[str, Any], facts: Facts, sentence: str) -> None:
    assert explain(JOB._replace(**fields), facts) == f"Job 7 {sentence}."


def test_every_state_has_a_sentence() -> None:
    assert {fields.get("state", "ready") for fields, _, _ in CASES} == set(State)
