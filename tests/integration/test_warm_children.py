"""What a job changes of its child process doesn't reach the next job, whatever kind the next one is."""

from __future__ import annotations

import json

import pytest

from tests.integration.running import Queue

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
    "timers": "signal.setitimer(signal.ITIMER_REAL, 0.3); signal.setitimer(signal.ITIMER_PROF, 100)",
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
    "left a thread running": "import _thread; _thread.start_new_thread(time.sleep, (100,)); time.sleep(0.1)",
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
