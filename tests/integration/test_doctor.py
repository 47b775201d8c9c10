"""What doctor finds, check by check, and that nothing keeps it from telling the rest."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cronq import __version__
from cronq.config import shown
from cronq.config.loader import Config, load
from cronq.errors import ConfigError
from cronq.locks import RunLock
from cronq.model.batch import NewBatch
from cronq.model.dependencies import After
from cronq.model.job import COMMAND_TASK, NewJob
from cronq.model.limits import Bounds, Limit
from cronq.monitoring.doctor import (
    configuration,
    flow,
    jobs,
    notifications,
    transports,
    workers,
)
from cronq.monitoring.doctor.checks import CHECKS, examine, examine_installation
from cronq.monitoring.doctor.context import Installation, Places
from cronq.monitoring.doctor.finding import Finding, Level
from cronq.storage.workers import Registration
from cronq.store import Store
from cronq.times import Clock
from tests.integration.doctoring import bad
from tests.integration.stores import config_in, select


def test_a_queue_in_good_health_has_no_problem(config: Config) -> None:
    with RunLock(config):
        pass
    found = list(examine(lambda: config))
    assert {one.finding.level for one in found} <= {Level.OK, Level.WARNING}
    assert {one.area for one in found} >= {"config", "database", "disk", "locks", "cron", "workers", "jobs"}


def test_a_broken_configuration_is_the_finding() -> None:
    def broken() -> Config:
        raise ConfigError("cronq.toml: jbos: unknown key")

    [only] = examine(broken)
    assert (only.area, only.finding.level) == ("config", Level.PROBLEM)
    assert "jbos" in only.finding.text


def test_a_database_out_of_reach_leaves_the_rest(tmp_path: Path) -> None:
    config = config_in(tmp_path).with_values("the test", database="mysql://cronq:s3cr3t@127.0.0.1:1/jobs")
    found = list(examine_installation(Installation(config, Places(cron_files=tmp_path))))
    problems = [one.finding.text for one in found if one.finding.level is Level.PROBLEM]
    assert len(problems) == 1
    assert "127.0.0.1" in problems[0]
    assert "s3cr3t" not in str(found)
    assert len(found) > 3


def test_a_check_that_breaks_is_a_finding_itself(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    def impossible(_installation: Installation) -> Iterator[Finding]:
        yield Finding(Level.OK, "so far")
        raise RuntimeError("never seen")

    monkeypatch.setattr("cronq.monitoring.doctor.checks.CHECKS", [("disk", impossible), *CHECKS[:1]])
    found = list(examine(lambda: config))
    assert [one.finding.level for one in found] == ["ok", "problem", "ok"]
    assert "impossible could not be checked: RuntimeError: never seen" in found[1].finding.text


# --- the configuration


def test_every_value_has_its_origin_and_no_secret(tmp_path: Path) -> None:
    file = tmp_path / "cronq.toml"
    file.write_text('wake = "redis://u:s3cr3t@h/0"\nnotify_command = "mail s3cr3t"\n[tasks.a]\npriority = 1\n')
    url = "mysql://u:s3cr3t@h/jobs"
    config = load(file=str(file), database=url, environ={"CRONQ_JOBS": "3", "HOME": str(tmp_path)})
    values = {value.key: value for value in shown.values(config)}
    assert (values["jobs"].value, values["jobs"].origin) == (3, "environment CRONQ_JOBS")
    assert (values["database"].value, values["database"].origin) == ("mysql://u:***@h/jobs", "--db")
    assert values["wake"].origin == f"file {file}"
    assert values["tasks"].value == ["a"]
    assert "s3cr3t" not in str(values)
    file.chmod(0o644)
    assert "all users can read it" in bad(configuration.secrecy, config)[0]
    file.chmod(0o640)
    assert bad(configuration.secrecy, config) == []


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # apprise's own
def test_urls_of_notices_are_known_and_never_shown(config: Config, tmp_path: Path) -> None:
    told = config.with_values(notify=["json://u:s3cr3t@127.0.0.1/", "nosuch://s3cr3t"], sentry="http://s3cr3t@a/1")
    assert bad(notifications.libraries, config) == []
    [found] = bad(notifications.libraries, told)
    assert "URL 2 (nosuch://…): apprise does not understand" in found
    assert "s3cr3t" not in found + str(shown.values(told)) + repr(told)
    file = tmp_path / "cronq.toml"
    file.write_text('notify = "json://u:s3cr3t@127.0.0.1/"')
    file.chmod(0o644)
    assert "all users can read it" in bad(configuration.secrecy, load(file=str(file), environ={"HOME": "/"}))[0]


def test_an_app_that_can_not_be_imported(config: Config) -> None:
    assert bad(configuration.application, config) == []
    assert "no_such_module" in bad(configuration.application, config.with_values(app="no_such_module:queue"))[0]


def test_an_error_of_the_configuration_that_stops_many_checks_is_told_once(tmp_path: Path) -> None:
    config = config_in(tmp_path).with_values("the test", database="mysql://root@127.0.0.1:1/jobs", table_prefix="")
    found = list(examine_installation(Installation(config, Places(cron_files=tmp_path))))
    assert [one.finding.text for one in found if "table_prefix" in one.finding.text] == [
        'table_prefix: "" can\'t be used on MySQL, where `groups` is a reserved word: give one, such as "cronq_"'
    ]


# --- wake-ups


def test_ports_are_probed_without_a_word(config: Config, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as local:
        local.bind(str(tmp_path / "s"))
        local.listen()
        urls = [f"tcp://127.0.0.1:{server.getsockname()[1]}", f"unix://{tmp_path}/s"]
        config = config.with_values(wake=urls)
        assert bad(transports.transports, config) == []
        for one in (server, local):
            connection, _ = one.accept()
            with connection:
                assert connection.recv(10) == b""
    assert len(bad(transports.transports, config)) == 2


def test_a_broker_that_does_not_answer(config: Config) -> None:
    [told] = bad(transports.transports, config.with_values(wake="redis://u:s3cr3t@127.0.0.1:1/0"))
    assert told.startswith("problem: redis://u:***@127.0.0.1:1/0 does not answer: ")


# --- workers and jobs


def test_workers_that_are_silent_or_of_another_version(config: Config, store: Store) -> None:
    store.prepare()
    store.workers.register(Registration("w1", "work", "h", 1, "", __version__))
    assert bad(workers.silent, config) == bad(workers.versions, config) == []
    store.workers.register(Registration("w2", "work", "h", 2, "", "0.0.1"))
    assert "w2 is cronq 0.0.1" in bad(workers.versions, config)[0]
    select(config, "UPDATE cronq_workers SET seen_at = seen_at - 100000000 WHERE name = 'w1'")
    assert "work w1 sent no heartbeat for 10" in bad(workers.silent, config)[0]


def test_jobs_that_nothing_here_will_run(config: Config, store: Store) -> None:
    store.enqueue([NewJob("nobody.knows"), NewJob(COMMAND_TASK, '{"command": "true"}')])
    assert "1 queued jobs: unknown task 'nobody.knows'" in bad(jobs.unknown_tasks, config)[0]
    forbidden = config.with_values(commands=False)
    assert "1 shell commands are queued" in bad(jobs.commands, forbidden)[0]
    assert bad(jobs.commands, config.with_values(commands=True)) == []


@pytest.mark.needs("root")
def test_commands_of_another_users_queue_are_that_users_matter(config: Config, store: Store) -> None:
    """The administrator's doctor advised to cancel what the owner's runs do."""
    (job,) = store.enqueue([NewJob(COMMAND_TASK, '{"command": "true"}')])
    os.chown(config.sqlite_path() or "", 12345, -1)
    assert bad(jobs.commands, config) == []
    asked = [sys.executable, "-m", "cronq", "--db", config.database, "why", str(job.id)]
    told = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    assert "may not be shell commands" not in told
    assert "1 shell commands are queued" in bad(jobs.commands, config.with_values(commands=False))[0]


def test_queues_that_nobody_listens_to(config: Config, store: Store) -> None:
    store.enqueue([NewJob("t", queue="mail"), NewJob("t", queue="money")])
    store.workers.register(Registration("w1", "work", "h", 1, "money", __version__))
    assert bad(jobs.unserved_queues, config) == []
    select(config, "UPDATE cronq_jobs SET available_at = available_at - 600000000")
    [told] = bad(jobs.unserved_queues, config)
    assert told.startswith("warning: queue mail: a job is due for 10 min")
    select(config, "INSERT INTO cronq_paused VALUES ('mail', 0)")
    assert bad(jobs.unserved_queues, config) == []
    assert bad(jobs.paused_queues, config) == ["warning: queue mail is paused, jobs are due in it"]


def test_batches_that_were_left_open(config: Config) -> None:
    with Store(config, Clock()) as store:
        for _ in range(2):
            store.batches.open(NewBatch("import"))
        store.batches.open(NewBatch("busy", jobs=[NewJob("t")]))
    assert bad(flow.open_batches, config) == []
    select(config, "UPDATE cronq_batches SET opened_at = 0, opened_by = 'ann@web1' WHERE id <> 1")
    at = "1970-01-01T00:00:00.000000Z"
    assert bad(flow.open_batches, config) == [
        f"warning: batch 2 (import) is open, and no job of it is left since {at}; ann@web1 opened it at {at}"
    ]


def test_limits_under_which_jobs_wait_for_long(config: Config, store: Store) -> None:
    smtp = Limit("smtp", "smtp", Bounds(1))
    store.enqueue([NewJob("t", limit=smtp) for _ in range(3)])
    assert bad(flow.waiting, config) == []
    [well] = flow.waiting(Installation(config))
    assert well.text.startswith("1 limit, the oldest job waits for ")
    select(config, "UPDATE cronq_limited SET due_at = due_at - 7200000000 WHERE place = 1")
    assert bad(flow.waiting, config) == ["warning: limit smtp 1 of 1 taken, 2 waiting, the oldest for 2h"]
    select(config, "UPDATE cronq_limits SET concurrency = NULL")
    assert bad(flow.waiting, config) == [
        "warning: limit smtp 1 taken, 2 waiting, the oldest for 2h: nothing defines it any more"
    ]


def test_limits_that_another_host_defines_differently(config: Config, store: Store) -> None:
    here = config.with_values("the test", limits={"smtp": 10})
    store.enqueue([NewJob("t", limit=Limit("smtp", "smtp", Bounds(10)))])
    assert bad(flow.differing, here) == []
    store.enqueue([NewJob("t", limit=Limit("smtp", "smtp", Bounds(5)))])
    assert bad(flow.differing, here) == [
        "warning: limit smtp is 10 in this configuration, and 5 by the host that enqueued or ran last, which counts"
    ]
    assert bad(flow.differing, config.with_values("the test", limits={"smtp": 5})) == []


def test_batches_that_wait_for_themselves(config: Config, store: Store) -> None:
    one, two = (store.batches.open(NewBatch(None)).id for _ in range(2))
    store.enqueue([NewJob("t", batch=one, after=(After(-two),)), NewJob("t", batch=two)])
    assert bad(flow.waiting_for_themselves, config) == []
    select(config, "INSERT INTO cronq_edges (child, parent, kind) VALUES (2, -1, 'after')")
    select(config, "UPDATE cronq_jobs SET state = 'pending', flow = 9 WHERE id = 2")
    assert bad(flow.waiting_for_themselves, config) == [
        f"problem: batch {batch} waits for itself: job {batch} of it comes after it, by way of others"
        for batch in (1, 2)
    ]
