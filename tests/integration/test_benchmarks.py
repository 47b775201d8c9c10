"""What `make bench` tells beside its rates: processor time a job, progress, and how busy the machine was."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks import processor
from benchmarks.figures import django
from benchmarks.processor import Machine, Spent, Stopwatch
from benchmarks.progress import measured
from benchmarks.result import Cost, Figure, Must, Rate, Standing, of_rates
from benchmarks.tables import show

SECONDS = 0.3
BURN = f"""
import time
while time.process_time() < {SECONDS}:
    pass
"""
BELOW = f"""
import subprocess, sys
subprocess.run([sys.executable, "-c", {BURN!r}], check=True)
"""


@contextmanager
def burner(program: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that takes its part of the processor when it is told to, says so, and then stays."""
    text = f"import sys, time\nsys.stdin.readline()\n{program}\nprint(flush=True)\ntime.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", text], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def nothing() -> float:
    return 0.0


@pytest.mark.parametrize("program", [BURN, BELOW], ids=["a process", "one below it"])
def test_processor_time_of_what_has_ended_is_counted_with_all_below_it(program: str, tmp_path: Path) -> None:
    watch = Stopwatch(tmp_path, processor.of_ended_children)
    subprocess.run([sys.executable, "-c", program], check=True)
    spent = watch.spent()
    assert SECONDS <= spent.own < SECONDS + 5
    assert spent.server == 0
    assert spent.wall > 0


@pytest.mark.parametrize("program", [BURN, BELOW], ids=["a process", "one below it"])
def test_processor_time_of_a_server_is_counted_while_it_runs(program: str, tmp_path: Path) -> None:
    with burner(program) as process:
        pid = process.pid
        processor.attribute(tmp_path, pid)
        watch = Stopwatch(tmp_path, nothing)
        assert process.stdin
        assert process.stdout
        process.stdin.write(b"go\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"\n"
        last = processor.of_trees([pid])
        assert last >= SECONDS - 0.03
        assert 0 < watch.spent().server <= last + 5
        assert processor.of_trees([pid, pid]) == pytest.approx(processor.of_trees([pid]), abs=0.05)


def test_processor_time_of_a_process_that_is_gone_is_nothing() -> None:
    with burner("pass") as process:
        pass
    assert processor.of_trees([process.pid]) == 0


def test_own_work_is_not_the_others_and_theirs_is() -> None:
    before = processor.machine([])
    deadline = time.process_time() + SECONDS
    while time.process_time() < deadline:
        pass
    after = processor.machine([])
    assert after.own - before.own >= SECONDS - 0.03
    assert after.everything - before.everything >= SECONDS - 0.1


def test_share_of_others_is_of_all_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    before = Machine(wall=100.0, everything=1000.0, own=50.0)
    assert before.others_share(Machine(wall=110.0, everything=1016.0, own=60.0)) == pytest.approx(0.3)
    assert before.others_share(Machine(wall=110.0, everything=1009.0, own=60.0)) == 0


def figure() -> Figure:
    rates = [Rate(1000.0, Cost.of(Spent(1.0, 0.02, 0.01), 1000)), Rate(900.0, Cost(20.0, 14.0))]
    reference = [Rate(100.0, Cost(300.0, 0.0)), Rate(300.0, Cost(340.0, 0.0))]
    return of_rates(Figure("drain", "ours: drain", "jobs/s", (), "theirs", (), Must(at_least=6)), rates, reference)


def test_a_figure_has_processor_time_a_job_and_its_ratio() -> None:
    taken = figure()
    assert taken.cost[0] == pytest.approx(Cost(20.0, 10.0))
    assert taken.cost_ratios() == pytest.approx([10.0, 10.0])
    assert str(taken) == (
        "ours: drain: 950 jobs/s, 6.50 times theirs: reached; "
        "processor time a job 32.00 µs (server 12.00), 10.00 times less"
    )
    document = taken.to_json()
    assert document["processor_us_a_job"][1] == {"own": 20.0, "server": 14.0}
    assert document["reference_processor_us_a_job"][0] == {"own": 300.0, "server": 0.0}
    assert document["processor_ratios"] == pytest.approx([10.0, 10.0])


def test_a_figure_without_rates_has_none() -> None:
    plain = Figure("ls", "ls of 20 rows", "ms", (400.0,), "", (), Must(at_most=350))
    assert str(plain) == "ls of 20 rows: 400 ms: missed, must be ≤ 350"
    assert plain.to_json()["processor_ratios"] == []


def test_a_standing_has_rates_and_what_they_took() -> None:
    document = Standing("q", "p", drain=[Rate(5.0, Cost(2.0, 1.0))], drain_span=[Rate(6.0)]).to_json()
    assert (document["drain"], document["drain_processor_us_a_job"]) == ([5.0], [{"own": 2.0, "server": 1.0}])
    assert (document["drain_span"], document["drain_span_processor_us_a_job"]) == ([6.0], [])


def test_progress_is_told_while_measuring_and_the_tables_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    done = measured("drain", lambda: [figure()])
    began, ended, result = capsys.readouterr().err.splitlines()
    assert began.endswith("drain: measuring")
    assert re.search(r"drain: measured in \d+ s; other processes took", ended)
    assert str(figure()) in result
    show([done], [Standing("ours", "much", drain=[Rate(950.0, Cost(20.0, 12.0))])], rounds=2)
    printed = capsys.readouterr().out
    assert "10.00 (10.00 to 10.00)" in printed
    assert "32.00 µs (server 12.00)" in printed
    assert str(done) in printed
    assert set(done.to_json()) == {"seconds", "load", "others_share"}


@pytest.mark.skipif(not find_spec("django_tasks_db"), reason="make pythons doesn't install the group bench")
def test_djangos_backends_are_measured_on_the_python_that_is_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(django, "ENVIRONMENT", "true")
    monkeypatch.setattr(django, "REQUESTS", 3)
    django.interpreter.cache_clear()
    names = django.backends()
    assert "there is no Python 3.14, which django-ox needs" in capsys.readouterr().err
    assert names == ["default", "django-tasks-db"]
    taken = {name: [latency] for name, latency in django.requests(names)}
    (asked,) = django.latency_figures("enqueue in a request", ("p50",), taken, names[1])
    assert asked.reference_name == "django-tasks-db"
    assert asked.ours[0] > 0
    assert asked.cost_ratios()[0] > 0
