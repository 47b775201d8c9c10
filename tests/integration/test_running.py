"""What a run does: everything that is due, in order, once, silently, and no more than it was asked to."""

from __future__ import annotations

import os
import pty
from collections import Counter

import pytest

from tests.integration.running import Queue
from tests.waiting import wait_until


def test_everything_due_until_nothing_is_due(queue: Queue) -> None:
    queue.tasks(
        """
@queue.task
def chain(depth):
    mark("chain", depth)
    if depth:
        queue.enqueue("jobs.chain", {"depth": depth - 1})
        queue.emit("chain.went", depth=depth)


@queue.on("chain.*")
@queue.task
def follow(depth):
    mark("follow", depth)
"""
    )
    queue.put("chain", {"depth": 3})
    future = queue.put("nothing", at="+1h")
    queue.run_silently()
    assert sorted(queue.recorded()) == [f"chain {n}" for n in range(4)] + [f"follow {n}" for n in (1, 2, 3)]
    assert queue.state(future) == "scheduled"
    assert queue.settled()


def test_what_becomes_due_during_the_run_is_done_by_it(queue: Queue) -> None:
    queue.tasks("@queue.task\ndef slow():\n    pause_until(lambda: (HERE / 'record').exists())\n")
    queue.put("slow")
    queue.put("record", {"word": "late"}, at="+1s")
    queue.run_silently()
    assert queue.recorded() == ["late"]


@pytest.mark.parametrize("jobs", [1, 3])
def test_jobs_start_by_priority_then_time_then_id(queue: Queue, jobs: int) -> None:
    queue.tasks("@queue.task\ndef started():\n    mark(os.getpid(), current_job.id)\n")
    order = [((number * 7) % 5, queue.put("started", priority=(number * 7) % 5)) for number in range(120)]
    first = queue.put("started", priority=2, at="2020-01-01T00:00:00Z")
    queue.run_silently("--jobs", jobs)
    expected = [job for _, job in sorted([*order, (2, 0)])]
    expected[expected.index(0)] = first
    by_child: dict[str, list[int]] = {}
    for child, job in (line.split() for line in queue.recorded()):
        by_child.setdefault(child, []).append(expected.index(int(job)))
    assert sorted(place for places in by_child.values() for place in places) == list(range(121))
    for places in by_child.values():
        assert places == sorted(places)


def test_a_group_runs_one_at_a_time_and_in_order(queue: Queue) -> None:
    queue.tasks(
        """
@queue.task
def member(group, number):
    mark(group, number, "begins")
    time.sleep(0.002)
    mark(group, number, "ends")
"""
    )
    for number in range(15):
        for group in "abc":
            queue.put("member", {"group": group, "number": number}, group=group)
    queue.run_silently("--jobs", 3)
    for group in "abc":
        lines = [line for line in queue.recorded() if line.startswith(group)]
        expected = [f"{group} {n} {what}" for n in range(15) for what in ("begins", "ends")]
        assert lines == expected
    assert queue.settled()


def test_groups_that_stop_in_one_hand_do_not_forget_each_other(queue: Queue) -> None:
    queue.tasks(
        """
@queue.task
def member(name):
    mark(name)
    if name.endswith("1"):
        raise ValueError(name)
"""
    )
    for number in (1, 2, 3):
        for group in "abc":
            queue.put("member", {"name": f"{group}{number}"}, group=group)
    queue.run_silently("--jobs", 1)
    assert queue.recorded() == ["a1", "b1", "c1"]
    assert {row["state"] for row in queue.rows("id > 3")} == {"blocked"}


def test_a_newcomer_does_not_overtake_its_group(queue: Queue) -> None:
    def put(word: str, name: str) -> None:
        queue.put("record", {"word": word}, queue=name, group="g")

    put("holder", "a")
    put("next", "a")
    put("first", "b")
    queue.run_silently("--queue", "a", "--limit", 1)
    put("second", "b")
    queue.run_silently("--queue", "b")
    queue.run_silently()
    order = queue.recorded()
    assert sorted(order) == ["first", "holder", "next", "second"]
    assert order.index("first") < order.index("second")


def test_only_the_queues_asked_for(queue: Queue) -> None:
    for name in ("shop", "shop2", "shop.mail", "other"):
        queue.put("record", {"word": name}, queue=name)
    queue.run_silently("--queue", "shop")
    assert queue.recorded() == ["shop"]
    queue.run_silently("--queue", "shop*", "--queue", "!*.mail")
    assert queue.recorded() == ["shop", "shop2"]
    queue.run_silently("--queue", "!other")
    assert queue.recorded() == ["shop", "shop2", "shop.mail"]
    queue.run_silently("--queue=*", "--weighted")
    assert queue.recorded() == ["shop", "shop2", "shop.mail", "other"]


def test_only_the_priorities_asked_for(queue: Queue) -> None:
    for priority in (0, 10, 11, 20, 21, 999):
        queue.put("record", {"word": str(priority)}, priority=priority)
    queue.run_silently("--priority", "11-20", "--jobs", 1)
    assert queue.recorded() == ["11", "20"]
    queue.run_silently("--priority", "-10", "--jobs", 1)
    assert queue.recorded() == ["11", "20", "0", "10"]
    queue.run_silently("--priority", "999")
    queue.run_silently("--priority", "21-")
    assert queue.recorded()[4:] == ["999", "21"]


@pytest.mark.parametrize("limit", [1, 7, 40])
def test_no_more_jobs_than_the_limit(queue: Queue, limit: int) -> None:
    for number in range(40):
        queue.put("record", {"word": str(number)}, group="g" if number % 3 else None)
    queue.run_silently("--limit", limit, "--jobs", 1)
    states = [row["state"] for row in queue.rows()]
    assert states.count("finished") == limit
    assert not queue.rows("lease_until IS NOT NULL")
    assert {row["attempt"] for row in queue.rows("state <> 'finished'")} <= {0}
    queue.run_silently()
    assert len(queue.recorded()) == 40


def test_no_new_jobs_after_the_time_is_over(queue: Queue) -> None:
    queue.tasks("@queue.task\ndef slow():\n    time.sleep(0.5)\n")
    for _ in range(100):
        queue.put("slow")
    queue.run_silently("--max-time", "3s", "--jobs", 2)
    finished = len(queue.rows("state = 'finished'"))
    assert 1 <= finished < 40
    assert {row["attempt"] for row in queue.rows("state = 'ready'")} == {0}
    assert len(queue.rows("state = 'ready'")) == 100 - finished


def test_fail_tells_by_the_exit_status(queue: Queue) -> None:
    queue.tasks("@queue.task\ndef fail():\n    raise ValueError('no')\n")
    queue.put("nothing")
    queue.run("--fail")
    queue.put("fail", max_attempts=1)
    queue.put("nothing")
    queue.run("--fail", status=1)
    queue.put("fail", max_attempts=1)
    queue.run()


def test_a_second_run_ends_at_once_and_silently(queue: Queue) -> None:
    queue.tasks("@queue.task\ndef slow():\n    mark('slow', os.getpid())\n    pause_until((HERE / 'go').exists)\n")
    queue.put("slow")
    first = queue.start("--jobs", 1)
    queue.wait_for_record("slow")
    job = queue.put("nothing")
    ran = queue.run()
    assert ran.stderr == ""
    assert queue.state(job) != "finished"
    said = queue.run("-v").stderr
    assert f"another run holds the lock: process {first.pid}, since " in said

    def done_by_another() -> bool:
        queue.run_silently("--queue", "default")
        return queue.state(job) == "finished"

    wait_until(done_by_another, what="a run with another filter, so with another lock, has done it")
    (queue.directory / "go").touch()
    assert first.wait(timeout=60) == 0


def test_two_runs_with_overlapping_filters_share_the_work(queue: Queue) -> None:
    queue.tasks("@queue.task\ndef brief():\n    mark(current_job.id)\n    time.sleep(0.001)\n")
    jobs = [queue.put("brief") for _ in range(150)]
    others = [queue.start(), queue.start("--queue", "default"), queue.start("--priority", "0-999")]
    assert [process.wait(timeout=60) for process in others] == [0, 0, 0]
    assert sorted(int(line) for line in queue.recorded()) == jobs


def test_a_run_on_a_terminal_says_what_it_did(queue: Queue) -> None:
    queue.put("nothing")
    terminal, end = pty.openpty()
    process = queue.project.start("run", env={"TERM": "xterm"})
    process.communicate()
    assert process.returncode == 0
    os.close(end)
    os.close(terminal)


def test_nothing_is_printed_when_nothing_went_wrong(queue: Queue) -> None:
    queue.tasks("@queue.task\ndef loud():\n    print('out'); print('err', file=sys.stderr)\n    raise ValueError\n")
    queue.put("loud")
    queue.command("echo out; echo err >&2; exit 1")
    queue.put("nothing")
    ran = queue.run()
    assert (ran.stdout, ran.stderr) == ("", "")
    assert [row["state"] for row in queue.rows()] == ["retrying", "retrying", "finished"]


def test_children_idle_without_using_the_processor(queue: Queue) -> None:
    queue.tasks(
        """
@queue.task
def die():
    os._exit(1)


@queue.task
def sleep():
    time.sleep(4)
"""
    )
    queue.put("die", max_attempts=1)
    queue.put("sleep")
    before = os.times()
    queue.start("--jobs", 2, anew=True).communicate(timeout=60)  # what a forked one spends isn't told to this process
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    assert spent < 3, "a signal that came once must not keep the runner awake"


def test_nothing_stays_behind(queue: Queue) -> None:
    for _ in range(5):
        queue.put("nothing")
    queue.run_silently()
    left = [path.name for path in (queue.directory / "cronq.db.locks").iterdir()]
    assert [name for name in left if not name.endswith((".lock", ".stamp"))] == []
    queue.wait_until_nothing_runs()


def test_a_paused_queue_waits(queue: Queue) -> None:
    job, other = queue.put("nothing", queue="paused"), queue.put("nothing")
    queue.sql("INSERT INTO cronq_paused (queue, paused_at) VALUES ('paused', 1)")
    queue.run_silently()
    assert (queue.state(job), queue.state(other)) == ("ready", "finished")
    queue.sql("DELETE FROM cronq_paused")
    queue.run_silently()
    assert queue.state(job) == "finished"


def test_jobs_stuck_behind_a_slow_one_go_to_another_child(queue: Queue) -> None:
    queue.tasks("@queue.task\ndef slow():\n    mark('slow')\n    pause_until((HERE / 'go').exists)\n")
    for _ in range(200):
        queue.put("nothing")
    queue.put("slow")
    rest = [queue.put("nothing") for _ in range(200)]
    process = queue.start("--jobs", 2)
    wait_until(lambda: all(row["state"] == "finished" for row in queue.rows("id >= ?", rest[0])), what="the rest")
    (queue.directory / "go").touch()
    assert process.wait(timeout=60) == 0
    assert {row["attempt"] for row in queue.rows()} == {1}


@pytest.mark.parametrize("most", [1, 3])
def test_no_child_runs_more_jobs_than_it_may(queue: Queue, most: int) -> None:
    queue.tasks("@queue.task\ndef whose():\n    mark(os.getpid())\n", f"child_max_jobs = {most}\n")
    for number in range(9):
        queue.put("whose", group="one at a time" if number % 3 == 0 else None)
    queue.run_silently("--jobs", 2)
    ran = Counter(queue.recorded())
    assert (sum(ran.values()), max(ran.values())) == (9, most)
    assert queue.settled()
