"""Tasks that do the worst: each ends in a defined state with a clear text, and the next job runs."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any, NamedTuple

import pytest

from tests.integration.running import Queue, wait_until_dead
from tests.project import COMMAND


class Case(NamedTuple):
    """What a task does, and the state, outcome and error text that it leads to."""

    body: str
    state: str
    outcome: str | None
    error: str | None = None


GUARDED = sys.version_info[:2] == (3, 12) or sys.version_info >= (3, 14)
"""Whether Python itself ends a recursion through code in C at any limit."""

CASES = {
    "ends the process as if all were well": Case(
        "os._exit(0)", "retrying", "crashed", "job process ended: exit status 0 in the middle of the task"
    ),
    "ends the process": Case(
        "os._exit(3)", "retrying", "crashed", "job process ended: exit status 3 in the middle of the task"
    ),
    "sys.exit()": Case("sys.exit()", "retrying", "error", ""),
    "sys.exit with a text": Case("sys.exit('no such shop')", "retrying", "error", "no such shop"),
    "KeyboardInterrupt": Case("raise KeyboardInterrupt", "retrying", "error", ""),
    "closes the executor's descriptors": Case("os.closerange(3, 256)", "finished", "success"),
    "closes its output": Case("os.close(1); os.close(2)", "finished", "success"),
    "closes its streams": Case("sys.stdout.close(); sys.stderr.close(); sys.stdin.close()", "finished", "success"),
    "replaces its streams": Case("sys.stdout = sys.stderr = None", "finished", "success"),
    "redirects its output": Case("os.dup2(os.pipe()[1], 1); print('lost')", "finished", "success"),
    "segfault": Case("__import__('ctypes').string_at(0)", "retrying", "crashed", "job process killed: SIGSEGV"),
    "abort": Case("os.abort()", "retrying", "crashed", "job process killed: SIGABRT"),
    "kills itself": Case("os.kill(os.getpid(), signal.SIGKILL)", "retrying", "crashed", "job process killed: SIGKILL"),
    "kills its group": Case("os.killpg(0, signal.SIGKILL)", "retrying", "crashed", "job process killed: SIGKILL"),
    "terminates itself": Case("os.kill(os.getpid(), signal.SIGTERM)", "finished", "success"),
    "deep recursion": Case("def deep(): deep()\n    deep()", "retrying", "error", "maximum recursion depth exceeded.*"),
    "a nested result": Case(
        "deep = []\n    for _ in range(100_000): deep = [deep]\n    return deep",
        "finished",
        "warning",
        "the result was not kept: .*",
    ),
    "a result of 10 MB": Case(
        "return 'x' * 10_000_000",
        "finished",
        "warning",
        "the result was not kept: 10000002 bytes of JSON, the limit is 65536",
    ),
    "a result that isn't data": Case(
        "return threading.Lock()", "finished", "warning", "the result was not kept: result: .*lock.*"
    ),
    "a result with a circle": Case(
        "circle = []; circle.append(circle); return circle", "finished", "warning", "the result was not kept: .*"
    ),
    "a result of 200 levels": Case(
        "deep = []\n    for _ in range(199): deep = [deep]\n    return deep",
        "finished",
        "warning",
        "the result was not kept: JSON nested 200 levels deep, the limit is 100",
    ),
    "notes of 200 levels": Case(
        "deep = []\n    for _ in range(199): deep = [deep]\n    current_job.note(deep=deep)",
        "finished",
        "warning",
        "note: deep not kept: JSON nested 201 levels deep, the limit is 100",
    ),
    "notes of 3000 levels": Case(
        "deep = []\n    for _ in range(2999): deep = [deep]\n    current_job.note(deep=deep)",
        "retrying",
        "error",
        "deep: nested too deeply, or contains itself",
    ),
    "notes of 20 MB": Case(
        "current_job.note(a='x' * 20_000_000)",
        "finished",
        "warning",
        "note: a not kept: 20000008 bytes of JSON, the limit is 65536",
    ),
    "a warning of 20 MB": Case("current_job.warn('x' * 20_000_000)", "finished", "warning", r"x{4096}\\u2026"),
    "100,000 warnings": Case(
        "for n in range(100_000): current_job.warn(f'{n}')",
        "finished",
        "warning",
        r'0", "1", .*"99", "\\u2026 99900 more warnings were left out',
    ),
    "an exception that can't be shown": Case(
        "class Bad(Exception):\n        def __str__(self): raise ValueError\n    raise Bad",
        "retrying",
        "error",
        "a Bad that can't be shown",
    ),
    "an exception that exits when shown": Case(
        "class Bad(Exception):\n        def __str__(self): sys.exit(0)\n    raise Bad",
        "retrying",
        "error",
        "a Bad that can't be shown",
    ),
    "an exception of 20 MB": Case("raise ValueError('x' * 20_000_000)", "retrying", "error", "x{4096}…"),
    "an error class of 400 letters": Case("raise type('E' * 400, (Exception,), {})('no')", "retrying", "error", "no"),
    "an exception that isn't Unicode": Case(
        "open('no\\udcff\\x01such')", "retrying", "error", r".*No such file.*'no\\udcff\\x01such'"
    ),
    "an exception with half a letter": Case("raise ValueError('\\ud800 \\0')", "retrying", "error", r"\\ud800 \\x00"),
    "an exception that isn't one": Case(
        "raise 'text'", "retrying", "error", "exceptions must derive from BaseException"
    ),
    "a generator's end": Case("raise StopIteration(3)", "retrying", "error", "3"),
    "threads left running": Case(
        "for _ in range(5): threading.Thread(target=time.sleep, args=(100,), daemon=True).start()",
        "finished",
        "success",
    ),
    "an error in a thread": Case(
        "thread = threading.Thread(target=lambda: 1 / 0); thread.start(); thread.join()", "finished", "success"
    ),
    "an atexit handler that hangs": Case("__import__('atexit').register(time.sleep, 100)", "finished", "success"),
    "a daemon": Case("subprocess.run('sleep 100 & setsid sleep 100 &', shell=True)", "finished", "success"),
    "forks and returns in both": Case("os.fork()", "finished", "success"),
    "forks and raises in the other": Case("if os.fork() == 0: raise ValueError\n    os.wait()", "finished", "success"),
    "leaves its children unreaped": Case(
        "for _ in range(10):\n        if os.fork() == 0: os._exit(0)", "finished", "success"
    ),
    "deep recursion with no limit": Case(
        "sys.setrecursionlimit(1 << 30)\n    deep = lambda n: [n].sort(key=deep)\n    deep(1)",
        "retrying",
        *(("error", "(maximum recursion|Stack overflow).*") if GUARDED else ("crashed", "job process killed: SIGSEGV")),
    ),
    "writes into its own source": Case("Path(__file__).write_text('1 / 0')", "finished", "success"),
}


def test_whatever_they_do(queue: Queue) -> None:
    """One child does it all, or the one that has replaced it; before and after each comes an ordinary job."""
    queue.tasks(
        "".join(f"@queue.task\ndef hostile{n}():\n    {case.body}\n\n\n" for n, case in enumerate(CASES.values())),
        '[retry]\nbase = "1h"\n',
    )
    jobs, words = [], [f"{n}" for n in range(len(CASES) + 1)]
    for word in words[:-1]:
        queue.put("record", {"word": word})
        jobs.append(queue.put(f"hostile{word}"))
    queue.put("record", {"word": words[-1]})
    assert queue.run("--jobs", 1, seconds=300).stderr == ""
    ends = {name: how_it_ended(queue.row(job)) for name, job in zip(CASES, jobs, strict=True)}
    assert {name: end[:3] for name, end in ends.items()} == {
        name: (case.state, case.outcome, 1) for name, case in CASES.items()
    }
    unclear = {name: end[3] for name, end in ends.items() if not is_said(CASES[name].error, end[3])}
    assert unclear == {}
    assert {row["state"] for row in queue.rows("task = 'jobs.record'")} == {"finished"}
    assert queue.recorded() == words
    assert queue.healthy()


def how_it_ended(row: dict[str, Any]) -> tuple[str, str, int, str | None]:
    """The state, the outcome, the number of the attempt, and the text that says why."""
    said = row["warnings"][2:-2] if row["outcome"] == "warning" else row["error_message"]
    return row["state"], row["outcome"], row["attempt"], said


def is_said(wanted: str | None, said: str | None) -> bool:
    """Whether the text is as the case has it."""
    if wanted is None or said is None:
        return wanted is said
    return re.fullmatch(wanted, said, re.DOTALL) is not None


def test_arguments_of_5_mb(queue: Queue) -> None:
    queue.tasks("@queue.task\ndef measure(text):\n    return len(text)\n")
    jobs = [queue.put("measure", {"text": "ü" * 2_500_000}) for _ in range(2)]
    after = queue.put("nothing")
    queue.run_silently("--jobs", 2)
    assert [(queue.row(job)["state"], queue.row(job)["result"]) for job in jobs] == [("finished", "2500000")] * 2
    assert queue.state(after) == "finished"


def test_notes_and_warnings_of_any_kind(queue: Queue) -> None:
    queue.tasks(
        """
@queue.task
def notes():
    import datetime
    current_job.note(when=datetime.datetime(2026, 1, 2), half="\\ud800")
    assert current_job.notes["when"].year == 2026
    current_job.note(n=1)
    current_job.warn("\\udcff \\0")
"""
    )
    job = queue.put("notes")
    queue.run_silently()
    row = queue.row(job)
    assert (row["state"], row["outcome"]) == ("finished", "warning")
    assert row["warnings"] == '["\\\\udcff \\\\x00"]'
    assert "2026-01-02" in row["notes"]


def test_2_gb_under_a_memory_limit(queue: Queue) -> None:
    queue.tasks("@queue.task\ndef big():\n    return len(b'x' * 2_000_000_000)\n")
    job, after = queue.put("big"), queue.put("record", {"word": "next"})
    limited = ["sh", "-c", 'ulimit -v 600000; exec "$@"', "sh", *COMMAND, "run", "--jobs", "1"]
    subprocess.run(limited, cwd=queue.directory, env=queue.project.environment, check=True, timeout=200)
    row = queue.row(job)
    assert (row["state"], row["outcome"], row["error_class"]) == ("retrying", "error", "MemoryError")
    assert queue.state(after) == "finished"


def test_a_child_that_has_grown_is_replaced(queue: Queue) -> None:
    queue.tasks(
        "kept = []\n\n\n@queue.task\ndef leak():\n    kept.append(b'x' * 100_000_000); mark(os.getpid())\n",
        'child_max_memory = "150M"\n',
    )
    for _ in range(4):
        queue.put("leak")
    queue.run_silently("--jobs", 1)
    assert len(queue.recorded()) == 4
    assert len(set(queue.recorded())) > 1


def test_ten_grandchildren_that_survive_the_task(queue: Queue) -> None:
    queue.tasks(
        """
@queue.task
def bomb():
    for number in range(10):
        if os.fork() == 0:
            if number % 2:
                os.setsid()
            mark("survivor", os.getpid())
            time.sleep(100)
            os._exit(0)
"""
    )
    job = queue.put("bomb")
    words = [str(number) for number in range(20)]
    for word in words:
        queue.put("record", {"word": word})
    queue.run_silently("--jobs", 1)
    assert queue.state(job) == "finished"
    assert [line for line in queue.recorded() if "survivor" not in line] == words
    after = queue.put("nothing")
    queue.run_silently()
    assert queue.state(after) == "finished", "no survivor holds the lock of the run"


FORKING = """
@queue.task
def fork_twice(seconds=0.0):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            mark("daemon", os.getpid())
            time.sleep(100)
        os._exit(0)
    os.wait()
    pause_until((HERE / "record").exists)
    mark("executor", os.getpid())
    if current_job.attempt == 1:
        time.sleep(seconds)
"""


def test_a_daemon_does_not_hold_the_lock_of_the_run(queue: Queue) -> None:
    queue.tasks(FORKING)
    queue.put("fork_twice")
    queue.run_silently()
    after = queue.put("nothing")
    queue.run_silently()
    assert queue.state(after) == "finished"


def test_a_daemon_does_not_pass_for_its_runner(queue: Queue) -> None:
    queue.tasks(FORKING)
    job = queue.put("fork_twice", {"seconds": 100})
    runner = queue.start("--jobs", 1)
    executor = queue.wait_for_record("executor")
    runner.kill()
    runner.wait()
    wait_until_dead(int(executor))
    queue.run_silently()
    assert queue.state(job) == "finished"
    assert queue.attempt(job)["error_message"].startswith("job process killed: SIGKILL")


@pytest.mark.parametrize("handler", ["signal.SIG_IGN", "signal.SIG_DFL", "lambda *_: None"])
def test_a_changed_signal_handler_is_not_the_next_jobs(queue: Queue, handler: str) -> None:
    queue.tasks(
        f"""
@queue.task
def changes():
    for number in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, {handler})


@queue.task
def slow():
    try:
        time.sleep(60)
    except TimeLimitExceeded:
        mark("in time")
        raise
""",
        'grace = "30s"\n',
    )
    queue.put("changes")
    slow, command = queue.put("slow", time_limit=1), queue.command("exit 3")
    queue.run_silently("--jobs", 1)
    assert queue.recorded() == ["in time"]
    assert queue.row(slow)["outcome"] == "timeout"
    assert queue.row(command)["error_message"] == "exit status 3"


def test_a_changed_directory_is_not_the_next_jobs(queue: Queue) -> None:
    queue.tasks(
        "@queue.task\ndef changes():\n    os.chdir('/')\n\n\n@queue.task\ndef here():\n    return os.getcwd()\n"
    )
    queue.put("changes")
    job, command = queue.put("here"), queue.command("pwd")
    queue.run_silently("--jobs", 1)
    assert queue.row(job)["result"] == f'"{queue.directory}"'
    assert queue.row(command)["stdout"] == f"{queue.directory}\n"
