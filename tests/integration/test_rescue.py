"""Rescuing what dead runners left, and pruning."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import threading
import time
from pathlib import Path

import pytest

from cronq.config.loader import Config
from cronq.execution import journal
from cronq.execution.journal import Journal, path_for
from cronq.execution.rescue import Rescuer
from cronq.locks import Liveness, wake_folder
from cronq.model.job import Claimed, NewJob
from cronq.model.outcome import Outcome, Settlement
from cronq.model.retry import Policies
from cronq.model.selection import Filter
from cronq.storage.workers import Registration
from cronq.store import Lease, Store
from cronq.tasks.registry import Registry
from cronq.times import Clock
from tests.contract.steps import claim, finish, put, states, stored
from tests.integration.stores import config_in, select

WORKER = "host-1-abc"


def maintainer(store: Store, config: Config) -> Rescuer:
    return Rescuer(store, config, Policies(config, Registry()), chance=random.Random(1))


def rescue(store: Store, config: Config) -> list[Settlement]:
    return maintainer(store, config).rescue(besides="me")


def _live_and_die(config: Config, ended: list[Claimed], begun: Claimed | None) -> None:
    Liveness.lock(config, WORKER)
    journal = Journal.create(path_for(config, WORKER, 1))
    now = time.time_ns() // 1000
    for job in ended:
        journal.begin(job, time.monotonic_ns())
        journal.append(job, Outcome("success", now - 5, now, result='"kept"'))
    if begun is not None:
        journal.begin(begun, time.monotonic_ns())
    os.kill(os.getpid(), signal.SIGKILL)


def die(config: Config, ended: list[Claimed], begun: Claimed | None = None) -> None:
    """A runner that ended some jobs, began another, and was killed before it settled anything."""
    process = multiprocessing.get_context("fork").Process(target=_live_and_die, args=(config, ended, begun))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL


def left(config: Config) -> list[str]:
    return [path.name for path in Path(config.lock_dir).iterdir() if path.suffix in {".alive", ".journal"}]


def test_ended_begun_and_untouched(store: Store, config: Config) -> None:
    ids = put(store, *[NewJob("t")] * 3)
    ended, begun, _ = claim(store, worker=WORKER)
    store.close()
    die(config, [ended], begun)
    settled = rescue(store, config)
    assert [(one.job.id, one.outcome.kind) for one in settled] == [(ids[0], "success"), (ids[1], "crashed")]
    assert states(store, ids) == ["finished", "ready", "ready"]
    assert stored(store, ids[0]).result == "kept"
    assert [stored(store, job_id).attempt for job_id in ids] == [1, 1, 0]
    (attempt,) = store.jobs.attempts(ids[1])
    assert attempt.error is not None
    assert attempt.error.message.startswith("job process killed: SIGKILL")
    assert (attempt.outcome, attempt.signal, stored(store, ids[1]).crashes) == ("crashed", "SIGKILL", 1)
    assert left(config) == []


def test_a_second_rescue_finds_nothing(store: Store, config: Config) -> None:
    put(store, NewJob("t"))
    die(config, [], claim(store, worker=WORKER)[0])
    assert len(rescue(store, config)) == 1
    before = select(config, "SELECT * FROM cronq_jobs")
    assert rescue(store, config) == []
    assert select(config, "SELECT * FROM cronq_jobs") == before


def _die_while_rescuing(config: Config) -> None:
    Liveness.lock(config, WORKER)
    with Store(config, Clock()) as store:
        store.settle = lambda _: os._exit(1)  # type: ignore[method-assign, assignment]
        maintainer(store, config).rescue(besides=WORKER)


def test_a_rescuer_that_dies_costs_no_explanation(store: Store, config: Config) -> None:
    """What it had taken over is no claim of its own that it never started."""
    (job,) = put(store, NewJob("task"))
    now = store.clock.now()
    store.claim(Filter(), Lease("gone", now=now, seconds=0), limit=1)
    process = multiprocessing.get_context("fork").Process(target=_die_while_rescuing, args=(config,))
    process.start()
    process.join(60)
    assert process.exitcode == 1
    assert len(rescue(store, config)) == 1
    (attempt,) = store.jobs.attempts(job)
    assert attempt.error is not None
    assert attempt.error.message.startswith("job process lost: the lease of its runner")
    assert (stored(store, job).state, stored(store, job).attempt) == ("ready", 1)


def test_two_rescuers_at_once(store: Store, config: Config) -> None:
    ids = put(store, *[NewJob("t")] * 40)
    jobs = claim(store, worker=WORKER)
    die(config, jobs[:20], jobs[20])
    settled: list[int] = []
    start = threading.Barrier(4)

    def help_out() -> None:
        with Store(config, Clock()) as own:
            start.wait()
            settled.extend(one.job.id for one in rescue(own, config))

    helpers = [threading.Thread(target=help_out) for _ in range(4)]
    for helper in helpers:
        helper.start()
    for helper in helpers:
        helper.join(60)
    assert sorted(settled) == ids[:21]
    assert states(store, ids) == ["finished"] * 20 + ["ready"] * 20
    assert [stored(store, job_id).attempt for job_id in ids] == [1] * 21 + [0] * 19


def test_a_group_keeps_its_line(store: Store, config: Config) -> None:
    ids = put(store, *[NewJob("t", group="g")] * 4)
    one, two, _ = claim(store, 3, worker=WORKER)
    die(config, [one], two)
    rescue(store, config)
    assert states(store, ids) == ["finished", "ready", "blocked", "blocked"]
    again = claim(store)
    assert [job.id for job in again] == ids[1:]
    finish(store, again)


def test_the_living_are_left_alone(store: Store, config: Config) -> None:
    (job_id,) = put(store, NewJob("t"))
    claim(store, worker=WORKER)
    alive = Liveness.lock(config, WORKER)
    assert rescue(store, config) == []
    assert states(store, [job_id]) == ["running"]
    alive.end()


def test_another_host_s_jobs_wait_for_the_end_of_the_lease(store: Store, config: Config) -> None:
    ids = put(store, *[NewJob("t")] * 2)
    claim(store, worker="elsewhere")
    assert rescue(store, config) == []
    select(config, "UPDATE cronq_jobs SET lease_until = 1")
    assert len(rescue(store, config)) == 2
    assert states(store, ids) == ["ready", "ready"]
    (attempt,) = store.jobs.attempts(ids[0])
    assert attempt.error is not None
    assert "the lease of its runner elsewhere ended" in attempt.error.message


def test_after_a_reboot_all_may_have_begun(store: Store, config: Config) -> None:
    ids = put(store, *[NewJob("t", group="g")] * 2)
    claim(store, worker=WORKER)
    die(config, [])
    (file,) = Path(config.lock_dir).glob("*.alive")
    file.write_text("1 1 another-boot\n")
    assert len(rescue(store, config)) == 2
    (attempt,) = store.jobs.attempts(ids[0])
    assert attempt.error is not None
    assert attempt.error.message == "job process killed: the machine was restarted"
    assert [job.id for job in claim(store)] == ids


def test_a_rescue_leaves_the_workers_of_other_databases_alone(config: Config, tmp_path: Path) -> None:
    shared = config.with_values("the test", lock_dir=str(tmp_path / "shared"))
    die(shared, [], None)
    neighbour = config_in(tmp_path, lock_dir=shared.lock_dir, table_prefix="other_")
    with Store(neighbour, Clock()) as other:
        assert rescue(other, neighbour) == []
    assert journal.workers(shared) == {WORKER}


def test_retention_removes_finished_jobs_only(store: Store, config: Config) -> None:
    ids = put(store, *[NewJob("t")] * 3)
    finish(store, claim(store, 1))
    store.admin.cancel([ids[1]])
    keeps = config.with_values("the test", retention="1h")
    assert maintainer(store, config).prune() == 0
    assert maintainer(store, keeps).prune() == 0
    select(config, "UPDATE cronq_jobs SET finished_at = 1 WHERE finished_at IS NOT NULL")
    assert maintainer(store, keeps).prune() == 1
    assert [job.id for job in map(store.jobs.get, ids) if job] == ids[1:]


@pytest.mark.parametrize("name", ["h-../../victim", "h-1/../../../victim", "../victim", "below/a/file", "x" * 40_000])
def test_a_workers_name_in_the_database_is_no_path(store: Store, config: Config, tmp_path: Path, name: str) -> None:
    """A row can be written by hand: such a worker has no files, and its leases end by themselves."""
    (job,) = put(store, NewJob("t"))
    (tmp_path / "victim").touch()
    Path(config.lock_dir).mkdir(exist_ok=True)
    Path(f"{config.lock_dir}/victim.alive").touch()
    Path(wake_folder(config)).mkdir()  # sockets of workers are in it: a way up leads through it
    store.claim(Filter(), Lease("mine", now=store.clock.now(), seconds=0), limit=1)
    select(config, "UPDATE cronq_jobs SET worker = ?, lease_until = 2", (name,))
    store.workers.register(Registration(name, "work", "h", 1, "", "1"))
    assert len(rescue(store, config)) == 1
    assert stored(store, job).state == "ready"
    assert (tmp_path / "victim").exists()
    assert Path(f"{config.lock_dir}/victim.alive").exists()


def test_thousands_of_rows_of_workers_that_were_never_there_cost_one_statement(store: Store, config: Config) -> None:
    put(store, NewJob("t"))
    select(
        config,
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 8000)"
        " INSERT INTO cronq_workers (name, kind, host, pid, queues, version, started_at, seen_at, state, jobs_done)"
        " SELECT 'ghost-' || i || '-abcdef', 'work', 'h', i, '', '1', 1, 1, 'running', 0 FROM n",
    )
    before = time.process_time()
    rescue(store, config)
    assert time.process_time() - before < 0.5  # with one statement for each row, several times that
    assert store.workers.all() == []


def test_a_liveness_file_without_its_name_is_removed_in_time(store: Store, config: Config) -> None:
    alive = Liveness.lock(config, WORKER)
    old, young = (Path(f"{alive.path.replace(WORKER, name)}.new") for name in ("old-1-aa", "young-2-bb"))
    old.touch()
    young.touch()
    os.utime(old, (1, 1))
    rescue(store, config)
    assert (old.exists(), young.exists()) == (False, True)
    alive.end()
