"""What doctor finds, check by check, and that nothing keeps it from telling the rest."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

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
from cronq.model.selection import Selection
from cronq.monitoring.doctor import (
    configuration,
    cron,
    disk,
    flow,
    jobs,
    locks,
    notifications,
    owners,
    transports,
    workers,
)
from cronq.monitoring.doctor import database as tables
from cronq.monitoring.doctor.checks import CHECKS, examine, examine_installation
from cronq.monitoring.doctor.context import Installation, Places
from cronq.monitoring.doctor.finding import Finding, Level
from cronq.storage.drivers.opening import open_database
from cronq.storage.migrations import upgrade
from cronq.storage.schema_version import CURRENT
from cronq.storage.workers import Registration
from cronq.store import Store
from cronq.times import SECOND, Clock
from tests import databases, servers
from tests.integration.stores import config_in, select
from tests.waiting import wait_until

Check = Callable[[Installation], Iterator[Finding]]


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A queue in good health."""
    made = config_in(tmp_path)
    upgrade(made)
    return made


@pytest.fixture
def store(config: Config) -> Iterator[Store]:
    with Store(config, Clock()) as opened:
        yield opened


def bad(check: Check, config: Config, **places: Any) -> list[str]:
    """What the check finds that isn't well; each has to say what to do."""
    installation = Installation(config, Places(**places))
    found = [one for one in check(installation) if one.level is not Level.OK]
    if installation.database is not None:
        installation.database.close()
    assert all(one.advice for one in found)
    return [f"{one.level}: {one.text}" for one in found]


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


# --- the database


def test_an_error_of_the_configuration_that_stops_many_checks_is_told_once(tmp_path: Path) -> None:
    config = config_in(tmp_path).with_values("the test", database="mysql://root@127.0.0.1:1/jobs", table_prefix="")
    found = list(examine_installation(Installation(config, Places(cron_files=tmp_path))))
    assert [one.finding.text for one in found if "table_prefix" in one.finding.text] == [
        'table_prefix: "" can\'t be used on MySQL, where `groups` is a reserved word: give one, such as "cronq_"'
    ]


def test_no_database_yet(tmp_path: Path) -> None:
    assert "warning: " in bad(tables.reachable, config_in(tmp_path))[0]
    assert "does not exist" in bad(tables.reachable, config_in(tmp_path / "none"))[0]
    assert not (tmp_path / "queue.db").exists()
    (tmp_path / "queue.db").write_bytes(b"this is no database\n" * 100)
    assert "is not a SQLite database" in bad(tables.reachable, config_in(tmp_path))[0]


@pytest.mark.parametrize(
    ("revision", "text"),
    [("0001", f"revision 0001, this cronq needs {CURRENT}"), ("9999", "a newer cronq made them")],
)
def test_tables_of_another_revision(config: Config, revision: str, text: str) -> None:
    assert bad(tables.schema, config) == []
    select(config, "UPDATE cronq_schema SET version_num = ?", (revision,))
    assert text in bad(tables.schema, config)[0]


@pytest.mark.parametrize("engine", ["sqlite", *databases.KINDS])
def test_an_index_that_is_missing_and_how_to_make_it(engine: str, config: Config, tmp_path: Path) -> None:
    if engine != "sqlite":
        servers.require(engine)
        config = databases.empty_queue(engine, tmp_path)
    installation = Installation(config)
    database = installation.database
    assert database is not None
    assert [one.level for one in tables.indexes(installation)] == ["ok"]
    database.execute(f"DROP INDEX cronq_jobs_key{' ON cronq_jobs' if database.family == 'mysql' else ''}")
    [missing] = tables.indexes(installation)
    assert "cronq_jobs_key is missing" in missing.text
    database.execute(missing.advice.removeprefix("make it: "))
    assert [one.level for one in tables.indexes(installation)] == ["ok"]
    assert [one.level for check in (tables.reachable, tables.schema, tables.writable) for one in check(installation)]
    assert not [one for one in tables.clock(installation) if one.level is not Level.OK]
    database.close()


@pytest.mark.parametrize("kind", databases.KINDS)
def test_a_server_is_named_and_left_again(kind: str, tmp_path: Path) -> None:
    servers.require(kind)
    config = databases.empty_queue(kind, tmp_path)
    told = " ".join(one.finding.text for one in examine(lambda: config))
    name = {"mariadb": "(MariaDB ", "mysql": "(MySQL ", "postgresql": "(PostgreSQL "}[kind]
    assert name in told
    beside = open_database(config)
    others = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        if kind == "postgresql"
        else f"SELECT count(*) FROM {databases.PROCESSES[kind]} WHERE db = DATABASE() AND id <> CONNECTION_ID()"
    )
    # A server lists a connection for a moment after its end.
    wait_until(lambda: list(beside.query(others)) == [(0,)], what="no connection is left")
    beside.close()


def test_a_prefix_is_needed_on_mysql(tmp_path: Path) -> None:
    config = config_in(tmp_path).with_values("the test", database="mysql://cronq@127.0.0.1:1/jobs", table_prefix="")
    with pytest.raises(ConfigError, match="`groups` is a reserved word"):
        open_database(config)


@pytest.mark.needs("mariadb")
def test_a_server_whose_clock_is_off(tmp_path: Path) -> None:
    installation = Installation(databases.empty_queue("mariadb", tmp_path))
    assert installation.database is not None
    installation.database.execute("SET @@timestamp = UNIX_TIMESTAMP() - 100")
    assert "ahead of the database's" in next(tables.clock(installation)).text
    installation.database.close()


@pytest.mark.needs("postgresql")
def test_a_server_that_is_read_only(tmp_path: Path) -> None:
    installation = Installation(databases.empty_queue("postgresql", tmp_path))
    assert installation.database is not None
    assert list(tables.writable(installation)) == []
    installation.database.execute("SET default_transaction_read_only = on")
    assert "read-only" in next(tables.writable(installation)).text
    installation.database.close()


# --- the disk


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("server:/export {0} nfs4 rw 0 0", "problem: {0}/queue.db lies on nfs4, a network file system"),
        ("tmpfs {0} tmpfs rw 0 0", "warning: {0}/queue.db lies in memory (tmpfs)"),
        ("/dev/sda1 {0} ext4 rw 0 0", None),
        ("server:/export {0}/elsewhere nfs rw 0 0", None),
    ],
)
def test_the_file_system(config: Config, tmp_path: Path, line: str, text: str | None) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/root / ext4 rw 0 0\n{line.format(tmp_path)}\n")
    found = bad(disk.file_system, config, mounts=mounts)
    assert found == [] if text is None else found[0].startswith(text.format(tmp_path))


def test_the_write_ahead_log(config: Config) -> None:
    installation = Installation(config)
    assert list(disk.write_ahead_log(installation)) == []
    with Path(f"{config.sqlite_path()}-wal").open("ab") as file:  # there as long as the installation has it open
        file.truncate(300 << 20)
    assert "has grown to 300 MiB" in next(disk.write_ahead_log(installation)).text
    assert installation.database is not None
    installation.database.close()
    select(config, "PRAGMA journal_mode = DELETE")
    assert "the journal mode is delete" in bad(disk.write_ahead_log, config)[0]


def test_a_log_that_has_grown_is_emptied_as_the_advice_says(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "_LARGE_LOG", 1 << 20)
    file = config.sqlite_path() or ""
    installation = Installation(config)
    with closing(sqlite3.connect(file)) as reader, closing(sqlite3.connect(file)) as writer:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM cronq_jobs").fetchall()
        writer.execute("CREATE TABLE filler AS SELECT randomblob(3000000)")
        told = next(disk.write_ahead_log(installation))
        reader.rollback()
        writer.execute("INSERT INTO filler VALUES (1)")
        writer.commit()
        assert list(disk.write_ahead_log(installation)), "a write alone doesn't make the file smaller"
        statement = told.advice.rpartition(f"sqlite3 {file} '")[2].rstrip("'")
        writer.execute(statement).fetchall()
        assert list(disk.write_ahead_log(installation)) == []
    assert installation.database is not None
    installation.database.close()


def test_a_disk_that_is_nearly_full(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [one.level for one in disk.space(Installation(config))] == ["ok"]
    real = os.statvfs(config.lock_dir.rpartition("/")[0])
    for blocks, level in ((10, "problem"), (30_000, "warning")):
        changed = os.statvfs_result([*real[:1], 4096, *real[2:4], blocks, *real[5:]])
        monkeypatch.setattr("cronq.monitoring.doctor.disk.os.statvfs", lambda _path, changed=changed: changed)
        assert bad(disk.space, config)[0].startswith(level)


def test_room_for_journals_and_the_log_is_measured_too(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", small], check=False).returncode:
        pytest.skip("only root can mount a small file system")
    try:
        on_server = config_in(tmp_path).with_values(
            "the test", database="mysql://192.0.2.1/jobs", lock_dir=str(small / "made")
        )
        (told,) = bad(disk.space, on_server)
        assert told == f"problem: only 1 MiB are free on the disk of {small}, for journals of running jobs"
        logged = on_server.with_values("the test", lock_dir=str(tmp_path), log=str(small / "cronq.log"))
        assert f"problem: only 1 MiB are free on the disk of {small}, for the log" in bad(disk.space, logged)
        everywhere = Path("/proc/self/mounts").read_text().replace(f" {small} tmpfs", f" {small} nfs4")
        (tmp_path / "mounts").write_text(everywhere)
        (told,) = bad(disk.lock_file_system, on_server, mounts=tmp_path / "mounts")
        assert "lies on nfs4, a network file system" in told
    finally:
        subprocess.run(["umount", "--lazy", small], check=True)


# --- locks


@pytest.mark.needs("root")
def test_files_of_another_user(config: Config) -> None:
    with RunLock(config):
        pass
    assert bad(locks.lock_folder, config) == bad(locks.lock_files, config) == []
    [lock] = Path(config.lock_dir).glob("run-*")
    lock.chmod(0o644)
    assert "others can open it" in bad(locks.lock_files, config)[0]
    os.chown(lock, 65534, 65534)
    assert f"{lock.name} in {config.lock_dir}: not root's" in bad(locks.lock_files, config)[0]
    Path(config.lock_dir).chmod(0o777)
    assert "others can write to" in bad(locks.lock_folder, config)[0]


# --- cron


def last_run_began(config: Config, seconds: float) -> None:
    """As if the last run had taken its lock then."""
    with RunLock(config) as lock:
        Path(lock.path).write_text(f"1 {Clock().now() - round(seconds * SECOND)}\n")


def test_workers_count_only_for_the_queues_that_they_take(config: Config, store: Store) -> None:
    store.workers.register(Registration("w1", "work", "h", 1, "mail", __version__))
    store.enqueue([NewJob("t", queue="mail")])
    assert bad(cron.last_call, config) == []
    store.enqueue([NewJob("t", queue="reports")])
    assert bad(cron.last_call, config) == [
        "problem: no run has begun on this host yet, and jobs are due in queues, which no worker takes: reports"
    ]
    store.admin.pause("reports")
    assert bad(cron.last_call, config) == []


def test_the_users_of_crontabs_and_units_own_the_database(
    config: Config, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.prepare()
    monkeypatch.setattr(config, "file", "/srv/shop/cronq.toml")
    places = {name: tmp_path / name for name in ("cron_files", "crontabs", "units")}
    for place in places.values():
        place.mkdir()
    me, path = pwd.getpwuid(os.geteuid()).pw_name, config.sqlite_path()
    (places["cron_files"] / "cronq").write_text(f"CRONQ_CONFIG=/srv/shop/cronq.toml\n* * * * * {me} cronq run\n")
    (places["units"] / "cronq-run.service").write_text(f"Environment=CRONQ_CONFIG=/srv/shop/cronq.toml\nUser={me}\n")
    assert bad(owners.callers, config, **places) == []
    (places["units"] / "cronq-run.service").write_text("Environment=CRONQ_CONFIG=/srv/shop/cronq.toml\nUser=ann\n")
    (places["crontabs"] / "bob").write_text("*/5 * * * * cronq --config /srv/shop/cronq.toml run\n")
    (places["crontabs"] / "eve").write_text("* * * * * cronq --config /home/eve/cronq.toml run\n")
    assert bad(owners.callers, config, **places) == [
        f"problem: the crontab of bob calls cronq as bob, but {path} belongs to {me}: its runs end with 78",
        f"problem: {places['units']}/cronq-run.service calls cronq as ann, but {path} belongs to {me}:"
        " its runs end with 78",
    ]


def test_cron_that_runs_another_users_queue_is_told(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a configuration, each user has a queue of their own."""
    monkeypatch.setitem(config.origins, "database", "default")
    (tmp_path / "cronq").write_text("* * * * * cronq : cronq run; /usr/bin/cronq run\n")
    none = tmp_path / "none"
    [found] = bad(owners.callers, config, cron_files=tmp_path, crontabs=none, units=none)
    assert found.startswith(f"problem: {tmp_path}/cronq calls cronq as cronq, who has another queue")


def test_cron_that_does_not_call(config: Config, store: Store, tmp_path: Path) -> None:
    assert bad(cron.last_call, config)[0].startswith("warning: no run has begun on this host yet")
    store.enqueue([NewJob("t")])
    assert bad(cron.last_call, config) == ["problem: no run has begun on this host yet, and jobs are due"]
    last_run_began(config, 100)
    assert bad(cron.last_call, config) == []
    last_run_began(config, 400)
    [text] = bad(cron.last_call, config, processes=tmp_path)
    assert text.startswith("problem: the last run began 6m ago: cron doesn't call any more (no cron daemon")
    store.admin.cancel(store.jobs.ids(Selection()))
    assert bad(cron.last_call, config)[0].startswith("warning: ")
    with RunLock(config):
        assert bad(cron.last_call, config) == []
    store.workers.register(Registration("w1", "work", "h", 1, "", __version__))
    assert bad(cron.last_call, config) == []


GOOD = "PATH=/usr/bin:/bin\n* * * * * root /usr/bin/cronq run\n"


@pytest.mark.needs("root")
@pytest.mark.parametrize(
    ("name", "text", "mode", "found"),
    [
        ("cronq", GOOD, 0o644, None),
        ("cronq", "0 0 * * * root something-else\n", 0o666, None),
        ("cronq.bak", GOOD, 0o644, "Debian's cron ignores a file with such a name"),
        ("cronq", GOOD, 0o664, "can be written by others"),
        ("cronq", GOOD, 0o755, "is executable"),
        ("cronq", GOOD[:-1], 0o644, "doesn't end with a newline"),
        ("cronq", GOOD.replace("\n", "\r\n"), 0o644, "has Windows line ends"),
        ("cronq", GOOD.replace("root", "nobody-here"), 0o644, "there is no user nobody-here"),
        ("cronq", GOOD.replace("run", "run # 100%"), 0o644, "a % ends the command"),
    ],
)
def test_the_silent_rules_of_cron_files(
    config: Config, tmp_path: Path, name: str, text: str, mode: int, found: str | None
) -> None:
    folder = tmp_path / "cron.d"
    folder.mkdir()
    (folder / name).write_bytes(text.encode())
    (folder / name).chmod(mode)
    told = bad(cron.cron_files, config, cron_files=folder)
    assert told == [] if found is None else found in told[0]


@pytest.mark.needs("root")
def test_cron_files_of_others_and_linked_ones(config: Config, tmp_path: Path) -> None:
    path = tmp_path / "cron.d" / "cronq"
    path.parent.mkdir()
    path.write_text(GOOD)
    path.chmod(0o644)
    os.chown(path, 65534, 65534)
    os.link(path, tmp_path / "twin")
    told = bad(cron.cron_files, config, cron_files=path.parent)
    assert len(told) == 2
    assert "does not belong to root" in told[0]
    assert "2 hard links" in told[1]


def test_the_packaged_cron_file_is_fine(config: Config, tmp_path: Path) -> None:
    path = tmp_path / "cronq"
    shutil.copy("packaging/cron.d/cronq", path)
    told = bad(cron.cron_files, config, cron_files=tmp_path)
    assert [text for text in told if "no user cronq" not in text and "belong to root" not in text] == []


def test_output_that_nobody_gets(config: Config, tmp_path: Path) -> None:
    mailers = (tmp_path / "sendmail",)
    assert bad(cron.mailer, config, mailers=mailers) == []
    last_run_began(config, 1)
    assert "no sendmail" in bad(cron.mailer, config, mailers=mailers)[0]
    mailers[0].touch()
    assert bad(cron.mailer, config, mailers=mailers) == []


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
