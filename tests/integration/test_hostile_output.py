"""Tasks that print all kinds of text: it is kept as text, in little memory, and the next job has its streams."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.running import Queue
from tests.started import Process

OUTPUTS = {
    "not UTF-8": ("os.write(1, b'gr\\xfc\\xdfe \\xff\\n')", "gr\\xfc\\xdfe \\xff\n"),
    "NUL": ("os.write(1, b'a\\0b')", "a\\x00b"),
    "half a letter": ("print('\\ud800')", "\\ud800\n"),
    "no end of line": ("print('a', end='')", "a"),
    "bytes": ("sys.stdout.buffer.write(b'a')", "a"),
    "a program's": ("subprocess.run(['echo', 'a'])", "a\n"),
    "through a copy of the descriptor": ("os.write(os.dup(1), b'a')", "a"),
    "before it died": ("print('last words'); os._exit(1)", "last words\n"),
}


def test_whatever_they_print(queue: Queue) -> None:
    after = "@queue.task\ndef after():\n    print('own')\n\n\n"
    tasks = (f"@queue.task\ndef prints{n}():\n    {body}\n\n\n" for n, (body, _) in enumerate(OUTPUTS.values()))
    queue.tasks(after + "".join(tasks), '[retry]\nbase = "1h"\n')
    jobs = [(queue.put(f"prints{n}"), queue.put("after")) for n in range(len(OUTPUTS))]
    queue.run_silently("--jobs", 1)
    printed = [(queue.attempts(job) or queue.rows("id = ?", job))[0]["stdout"] for job, _ in jobs]
    assert dict(zip(OUTPUTS, printed, strict=True)) == {name: kept for name, (_, kept) in OUTPUTS.items()}
    assert [queue.row(after)["stdout"] for _, after in jobs] == ["own\n"] * len(jobs)


STREAMS = {
    "closes them": "os.close(1); os.close(2)",
    "closes what Python has of them": "sys.stdout.close(); sys.stderr.close()",
    "replaces them": "sys.stdout = sys.stderr = open(os.devnull, 'w')",
    "redirects them": "a, b = os.pipe(); os.dup2(b, 1); os.dup2(b, 2)",
}


@pytest.mark.parametrize("body", STREAMS.values(), ids=STREAMS)
def test_the_next_job_has_streams_again(queue: Queue, body: str) -> None:
    queue.tasks(
        f"@queue.task\ndef breaks():\n    {body}\n\n\n"
        "@queue.task\ndef prints():\n    print('out'); print('err', file=sys.stderr); os.system('echo more')\n"
    )
    queue.put("breaks")
    job, command = queue.put("prints"), queue.command("echo out; echo err >&2")
    queue.run_silently("--jobs", 1)
    row = queue.row(job)
    assert (row["state"], row["stdout"], row["stderr"]) == ("finished", "out\nmore\n", "err\n")
    row = queue.row(command)
    assert (row["state"], row["stdout"], row["stderr"]) == ("finished", "out\n", "err\n")


def test_100_000_lines_of_errors(queue: Queue) -> None:
    queue.tasks("@queue.task\ndef prints():\n    for n in range(100_000): print('line', n, file=sys.stderr)\n")
    job = queue.put("prints")
    queue.run_silently()
    stderr = queue.row(job)["stderr"]
    assert stderr.startswith("line 0\nline 1\n")
    assert stderr.endswith("\nline 99999\n")
    assert "bytes left out" in stderr
    assert len(stderr) < 140_000


TWO_HUNDRED_MEGABYTES = """\
@queue.task
def writes():
    chunk = b'x' * 1_048_575 + b'\\n'
    for _ in range(200): os.write(1, chunk)


@queue.task
def prints():
    line = 'x' * 65_535
    for _ in range(3200): print(line)
"""


def test_hundreds_of_megabytes_printed_cost_no_memory(queue: Queue) -> None:
    """By a task, by what it prints with Python, and by a command."""
    queue.tasks(TWO_HUNDRED_MEGABYTES)
    jobs = [queue.put("writes"), queue.put("prints"), queue.command("yes $(printf %1000s) | head -c 200M")]
    after = queue.put("nothing")
    process = queue.start("--jobs", 1, anew=True)  # a forked one has all modules in memory
    with watched_memory(process) as peak:
        assert process.wait(timeout=200) == 0
    for job in jobs:
        row = queue.row(job)
        assert row["state"] == "finished"
        assert re.search(r"\[… 20\d{7} bytes left out …\]", row["stdout"])
    assert queue.state(after) == "finished"
    assert peak[0] < 250e6, "one of them kept in memory is 210 MB more than the 60 to 160 MB that the run takes"


@contextlib.contextmanager
def watched_memory(process: Process) -> Iterator[list[float]]:
    """The peak of what a run and its children have resident and in memory files."""
    peak = [0.0]
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.01):
            peak[0] = max(peak[0], _memory(process.pid))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        over.set()
        thread.join()


def _memory(pid: int) -> float:
    family = [pid, *_children(pid)]
    files: dict[int, int] = {}
    resident = 0
    for member in family:
        with contextlib.suppress(OSError, IndexError):
            resident += int(Path(f"/proc/{member}/statm").read_text().split()[1]) * 4096
        for number in _descriptors(member):
            with contextlib.suppress(OSError):
                if str(number.readlink()).startswith("/memfd:"):
                    status = number.stat()
                    files[status.st_ino] = status.st_blocks * 512
    return resident + sum(files.values())


def _children(pid: int) -> list[int]:
    try:
        own = [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
    return own + [pid for child in own for pid in _children(child)]


def _descriptors(pid: int) -> list[Path]:
    try:
        return list(Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return []
