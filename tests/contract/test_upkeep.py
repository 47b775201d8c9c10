"""Who looks after what others left, and when a run is worth starting."""

from __future__ import annotations

import logging
import os
import random

import pytest

from cronq.config.loader import Config
from cronq.execution.rescue import Rescuer
from cronq.locks import Liveness
from cronq.model.retry import Policies
from cronq.storage.idle_check import anything_to_do
from cronq.store import Store
from cronq.tasks.registry import Registry
from cronq.testing import ManualClock
from cronq.times import SECOND
from tests.contract.steps import claim, finish, later, new, put, states


@pytest.fixture
def maintainer(store: Store, config: Config) -> Rescuer:
    return Rescuer(store, config, Policies(config, Registry()), chance=random.Random(1))


def test_one_worker_rescues_what_other_hosts_left(
    maintainer: Rescuer, store: Store, other: Store, clock: ManualClock
) -> None:
    ids = put(store, new())
    claim(store, worker="gone")
    clock.advance(61)
    assert other.leader.hold("busy", seconds=60)
    if store.leader.shared:
        assert maintainer.rescue(besides="me") == []
        assert states(store, ids) == ["running"]
        other.leader.resign("busy")
    assert [settled.job.id for settled in maintainer.rescue(besides="me")] == ids
    assert states(store, ids) == ["ready"]


def test_one_worker_prunes(store: Store, other: Store, config: Config, clock: ManualClock) -> None:
    keeping_none = config.with_values("the test", retention=0)
    maintainer = Rescuer(store, keeping_none, Policies(config, Registry()), chance=random.Random(1))
    put(store, new(), new())
    finish(store, claim(store))
    clock.advance(1)
    assert other.leader.hold("busy", seconds=60)
    if store.leader.shared:
        maintainer.rescue(besides="me")
        assert maintainer.prune() == 0
        other.leader.resign("busy")
    maintainer.rescue(besides="me")
    assert maintainer.prune() == 2
    maintainer.resign("me")
    assert other.leader.hold("busy", seconds=60)


@pytest.mark.parametrize(("doubt", "rescued"), [(29, 1), (30, 0)])
def test_a_clock_in_doubt_rescues_no_jobs_of_others(
    store: Store, config: Config, caplog: pytest.LogCaptureFixture, doubt: int, rescued: int
) -> None:
    class Doubtful(ManualClock):
        doubt = 0

    put(store, new())
    claim(store, worker="gone")
    unsure = Doubtful()
    unsure.advance(61)
    unsure.doubt = doubt * SECOND
    with Store(config, unsure) as doubtful, caplog.at_level(logging.WARNING):
        maintainer = Rescuer(doubtful, config, Policies(config, Registry()), chance=random.Random(1))
        settled = [*maintainer.rescue(besides="me"), *maintainer.rescue(besides="me")]
    assert len(settled) == rescued
    assert sum("in doubt" in record.message for record in caplog.records) == 1 - rescued


def test_a_run_starts_for_what_is_due_and_for_leases_that_ended(
    store: Store, config: Config, clock: ManualClock
) -> None:
    def worth_it() -> bool:
        return anything_to_do(config, clock)

    assert not worth_it()
    put(store, new(available_at=later(store, 10)))
    assert not worth_it()
    clock.advance(10)
    assert worth_it()
    store.leases.promote(clock.now())
    assert worth_it()
    claim(store, worker="on-another-host")
    assert not worth_it()
    clock.advance(59)
    assert not worth_it()
    clock.advance(2)
    assert worth_it()


def test_a_run_starts_for_a_runner_of_this_host_that_died(store: Store, config: Config) -> None:
    alive = Liveness.lock(config, "here-1-a")
    put(store, new())
    claim(store, worker="here-1-a")
    assert not anything_to_do(config, store.clock)
    os.close(alive._fd)  # as the kernel does when it dies
    assert anything_to_do(config, store.clock)
