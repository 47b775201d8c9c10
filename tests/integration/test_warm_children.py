"""What a job changes of its child process doesn't reach the next job, of any kind."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.integration.running import Queue
from tests.project import COMMAND

TASKS = """
import asyncio, contextvars, decimal, gc, locale, resource, socket
from os import umask
from signal import alarm

name = contextvars.ContextVar("name", default="none")


def current_loop():
    policy = asyncio.events._event_loop_policy
    return policy is not None and policy._local._loop is not None


@queue.task
def change(code):
    exec(code, globals())
    return os.getpid()


@queue.task
def look():
    usual = os.umask(0)
    os.umask(usual)
    return {
        "umask": usual,
        "HOME": os.environ.get("HOME"),
        "NEW": os.environ.get("NEW"),
        "hour": time.localtime(0).tm_hour,
        "nice": os.nice(0),
        "files": resource.getrlimit(resource.RLIMIT_NOFILE),
        "socket": socket.getdefaulttimeout(),
        "locale": locale.setlocale(locale.LC_ALL),
        "handlers": [str(signal.getsignal(number)).split(" at ")[0] for number in sorted(signal.valid_signals())],
        "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        "timers": [signal.getitimer(number)[0] for number in range(3)],
        "wakeup": signal.set_wakeup_fd(-1),
        "directory": os.getcwd(),
        "loop": current_loop(),
        "recursion": sys.getrecursionlimit(),
        "gc": gc.isenabled(),
        "name": name.get(),
        "threads": threading.active_count(),
    }


@queue.task
def whose():
    return os.getpid()
"""

PUT_BACK = {
    "timers": "signal.setitimer(signal.ITIMER_REAL, 1.0); signal.setitimer(signal.ITIMER_PROF, 100)",
    "timers ": "alarm(1)",
    "umask": "umask(0o027)",
    "environment (HOME, NEW, PATH)": "os.environ.update(HOME='/', NEW='1'); del os.environ['PATH']",
    "environment (TZ)": "os.environ['TZ'] = 'Asia/Tokyo'; time.tzset()",
    "environment": "os.environ = {'PATH': '/nowhere'}",
    "priority": "os.nice(3)",
    "blocked signals": "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])",
    "signal wakeup": "signal.set_wakeup_fd(os.open(os.devnull, os.O_WRONLY | os.O_NONBLOCK))",
    "socket timeout": "socket.setdefaulttimeout(0.001)",
    "locale": "locale.setlocale(locale.LC_ALL, 'C')",
    "event loop": "loop = asyncio.new_event_loop(); asyncio.set_event_loop(loop); loop.close()",
    "recursion limit": "sys.setrecursionlimit(5000)",
    "garbage collection": "gc.disable()",
    "directory": "os.chdir('/')",
}
UNSAID = {
    "context variables": "name.set('mine')",
    "asyncio.run": "asyncio.run(asyncio.sleep(0))",
}
REPLACED = {
    "changed resource limits (RLIMIT_NOFILE)": "resource.setrlimit(resource.RLIMIT_NOFILE, (150, 200))",
    "changed signal handlers (SIGALRM)": "signal.signal(signal.SIGALRM, lambda *_: None); signal.alarm(1)",
    "changed signal handlers (SIGPIPE, SIGTERM)": (
        "[signal.signal(number, signal.SIG_IGN) for number in (signal.SIGTERM, signal.SIGPIPE)]"
    ),
    "left thread spinning running": (
        "threading.Thread(target=pause_until, args=(lambda: False,), name='spinning', daemon=True).start()"
    ),
    "left a thread running": "import _thread; _thread.start_new_thread(time.sleep, (100,)); time.sleep(0.5)",
}


def test_what_can_be_put_back_is_put_back(queue: Queue) -> None:
    queue.tasks(TASKS)
    jobs: dict[int, str] = {}
    first = queue.put("look")
    for change, code in (PUT_BACK | UNSAID).items():
        queue.put("change", {"code": code})
        jobs[queue.put("look")] = change
    waits, command = queue.put("change", {"code": "time.sleep(1.5)"}), queue.command("umask; pwd; echo $HOME; nice")
    log = queue.directory / "log"
    queue.project.cronq("--log-file", "log", "run", "--jobs", 1)
    usual = json.loads(queue.row(first)["result"])
    looks = {change: json.loads(queue.row(job)["result"]) for job, change in jobs.items()}
    assert looks == dict.fromkeys(looks, usual)
    printed = [f"{usual['umask']:04o}", str(queue.directory), str(queue.project.home), "0"]
    assert queue.row(command)["stdout"].split() == printed
    assert queue.state(waits) == "finished", "no alarm of an earlier job has hit it"
    pids = {row["result"] for row in queue.rows("task = 'jobs.change'")}
    assert len(pids) == 1, "in one child process"
    said = [line.partition(" changed ")[2] for line in log.read_text().splitlines() if ": put back" in line]
    assert said == [f"{change.strip()} of its process: put back" for change in PUT_BACK]


@pytest.mark.parametrize("change", REPLACED)
def test_a_child_that_cannot_be_put_back_is_replaced(queue: Queue, change: str) -> None:
    queue.tasks(TASKS)
    first = queue.put("look")
    changed = queue.put("change", {"code": REPLACED[change]})
    after, command = queue.put("look"), queue.command("sleep 1.2; ulimit -n")
    log = queue.directory / "log"
    queue.project.cronq("--log-file", "log", "run", "--jobs", 1)
    assert queue.row(after)["result"] == queue.row(first)["result"]
    assert [queue.state(job) for job in (changed, after, command)] == ["finished"] * 3
    assert queue.row(after)["pid"] != queue.row(changed)["pid"]
    assert f"a child process is replaced: job {changed} {change}" in log.read_text()


def test_the_work_of_threads_is_waited_for(queue: Queue) -> None:
    queue.tasks(
        """
from concurrent.futures import ThreadPoolExecutor
pool = ThreadPoolExecutor(2)


def late(word):
    time.sleep(0.2)
    mark(word)
    print(word)


@queue.task
def threads():
    threading.Thread(target=late, args=("thread",)).start()


@queue.task
def pools():
    for word in "abc":
        pool.submit(late, word)
"""
    )
    jobs = [queue.put("threads"), queue.put("pools"), queue.put("pools"), queue.put("record", {"word": "end"})]
    queue.run_silently("--jobs", 1)
    assert queue.recorded()[0] == "thread"
    assert "".join(sorted(queue.recorded()[1:7])) == "aabbcc"
    assert queue.recorded()[7:] == ["end"]
    assert [queue.row(job)["outcome"] for job in jobs] == ["success"] * 4
    assert queue.row(jobs[0])["stdout"] == "thread\n"
    assert queue.row(jobs[0])["pid"] == queue.row(jobs[1])["pid"] != queue.row(jobs[2])["pid"]


def test_threads_that_outlive_the_time_limit_are_a_warning(queue: Queue) -> None:
    queue.tasks(
        "@queue.task\ndef leaves():\n    threading.Thread(target=time.sleep, args=(60,), name='dreaming').start()\n"
    )
    job, after = queue.put("leaves", time_limit=2), queue.put("nothing")
    queue.run_silently("--jobs", 1)
    row = queue.row(job)
    assert (row["state"], row["outcome"]) == ("finished", "warning")
    expected = "thread dreaming was still running when the job ran past its time limit of 2s"
    assert json.loads(row["warnings"]) == [expected]
    assert queue.row(after)["outcome"] == "success"
    assert queue.row(after)["pid"] != row["pid"]


def test_a_child_has_a_start_and_an_end(queue: Queue) -> None:
    queue.tasks(
        """
import atexit, tempfile
atexit.register(lambda: mark("end of the process that imported this", os.getpid()))


@queue.on_child_start
def begin():
    os.umask(0o027)
    atexit.register(lambda: mark("ended", os.getpid()))
    mark("started", os.getpid())


@queue.task
def leaves():
    global folder
    folder = tempfile.TemporaryDirectory()
    atexit.register(lambda: 1 / 0)
    usual = os.umask(0o077)
    return [os.getpid(), usual, folder.name]
""",
        'child_max_jobs = 2\ngrace = "30s"\n',
    )
    jobs = [queue.put("leaves") for _ in range(3)]
    queue.project.cronq("--log-file", "log", "run", "--jobs", 1)
    results = [json.loads(queue.row(job)["result"]) for job in jobs]
    first, second = results[0][0], results[2][0]
    ours = [line for line in queue.recorded() if line.startswith(("started", "ended"))]
    assert ours == [f"started {first}", f"ended {first}", f"started {second}", f"ended {second}"]
    assert not {f"end of the process that imported this {pid}" for pid in (first, second)} & set(queue.recorded())
    assert {usual for _, usual, _ in results} == {0o027}
    assert not [folder for *_, folder in results if Path(folder).exists()]
    log = (queue.directory / "log").read_text()
    assert "a child process said at its end: ZeroDivisionError: division by zero" in log


def test_a_child_that_does_not_end_is_ended_after_the_grace(queue: Queue) -> None:
    queue.tasks(
        """
import atexit


@queue.task
def clings():
    atexit.register(pause_until, lambda: False)
    signal.signal(signal.SIGALRM, signal.SIG_IGN)


@queue.task
def also_clings():
    atexit.register(lambda: [signal.signal(signal.SIGALRM, signal.SIG_IGN), time.sleep(60)])
"""
    )
    jobs = [queue.put("clings"), queue.put("nothing"), queue.put("also_clings"), queue.put("nothing")]
    queue.run_silently("--jobs", 1)
    assert [queue.state(job) for job in jobs] == ["finished"] * 4
    queue.wait_until_nothing_runs()


def test_programs_that_a_task_starts_can_be_interrupted(queue: Queue) -> None:
    queue.tasks(
        """
@queue.task
def starts():
    return subprocess.run(["sh", "-c", "kill -INT $$; echo alive"]).returncode


@queue.task
def interrupted():
    os.kill(os.getpid(), signal.SIGINT)
"""
    )
    job, after = queue.put("starts"), queue.put("interrupted")
    queue.run_silently()
    assert (queue.row(job)["result"], queue.row(after)["outcome"]) == ("-2", "success")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_do_no_harm(queue: Queue, closed: str) -> None:
    queue.tasks("@queue.task\ndef reads():\n    return [os.read(0, 9) == b'', os.readlink('/proc/self/fd/0')]\n")
    job, command = queue.put("reads"), queue.command("cat; echo done")
    run = ["sh", "-c", f'exec "$@" {closed}', "sh", *COMMAND, "run", "--jobs", "1"]
    subprocess.run(run, cwd=queue.directory, env=queue.project.environment, timeout=60, check=True)
    assert json.loads(queue.row(job)["result"]) == [True, "/dev/null"]
    assert queue.row(command)["stdout"] == "done\n"


def test_a_clock_that_is_set_back_makes_no_negative_duration(queue: Queue) -> None:
    queue.tasks(
        """
@queue.task
def set_back():
    from cronq.times import Clock
    now = Clock.now
    Clock.now = lambda self: now(self) - 86_400_000_000
"""
    )
    job = queue.put("set_back")
    queue.run_silently()
    assert queue.row(job)["finished_at"] == queue.row(job)["started_at"]
