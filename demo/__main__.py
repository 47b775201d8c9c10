"""Enqueue a few jobs, let `cronq run` do them as cron would, and check that all went as said."""

from __future__ import annotations

import json
import os
import pty
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
CRONQ = str(Path(sys.prefix) / "bin" / "cronq")


class Demo:
    """A shop in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        for name in ("cronq.toml", "shop.py"):
            shutil.copy(HERE / name, directory)

    def show(self, *command: str) -> str:
        """Run the command the way a reader would type it; what it printed."""
        print("$", shlex.join(["cronq", *command]))
        printed = self.run(*command)
        print(printed, end="")
        return printed.strip()

    def run(self, *command: str) -> str:
        """Run the command without showing it."""
        return subprocess.check_output([CRONQ, *command], cwd=self.directory, text=True)

    def jobs(self) -> dict[int, dict[str, Any]]:
        """All jobs by id."""
        return {job["id"]: job for job in json.loads(self.run("ls", "--json"))}

    def table(self, *command: str) -> None:
        """Run the command on a terminal, even where there is none, and show what it draws."""
        print("$", shlex.join(["cronq", *command]))
        ours, theirs = pty.openpty()
        environment = os.environ | {"COLUMNS": "120", "TERM": "xterm"}
        process = subprocess.Popen([CRONQ, *command], cwd=self.directory, env=environment, stdout=theirs)
        os.close(theirs)
        drawn = b""
        with suppress(OSError):  # a terminal whose other side was closed ends with EIO
            while part := os.read(ours, 65536):
                drawn += part
        os.close(ours)
        text = drawn.decode().replace("\r\n", "\n")
        print(text if sys.stdout.isatty() else COLOURS.sub("", text), end="")
        expect(process.wait() == 0, "cronq ls draws its table")


def expect(holds: object, what: str) -> None:
    """End the demo with an error where something isn't as it says."""
    if not holds:
        sys.exit(f"demo: not so: {what}")


def main() -> None:
    """The whole tour."""
    with tempfile.TemporaryDirectory(prefix="cronq-demo-") as directory:
        demo = Demo(Path(directory))
        ids = enqueue(demo)
        first_minute(demo, ids)
        next_minutes(demo, ids)
        demo.table("ls")
    print("\nAll as said. The same in a crontab: * * * * *", CRONQ, "run")


def enqueue(demo: Demo) -> dict[str, int]:
    """Put the work on the queue; the ids by what they are for."""
    print("# A Python task, a shell command, and a task whose first attempt will fail")
    ids = {
        "mail": int(demo.show("enqueue", "mail.send", "to=ann@example.org", "subject=Your order")),
        "command": int(demo.show("enqueue", "--", "echo", "the shell was here")),
        "payment": int(demo.show("enqueue", "payment.collect", "order=42")),
    }
    print("\n# A group: these run one at a time, in order")
    for shelf in (1, 2, 3):
        name = f"shelf {shelf}"
        ids[name] = int(demo.show("enqueue", "stock.count", f"shelf={shelf}", "--group", "stock"))
    print("\n# A key that is unique: the second one is answered with the id of the first")
    unique = ("enqueue", "mail.send", "to=bob@example.org", "subject=Hi", "--key", "mail-7", "--unique")
    ids["unique"], twin = int(demo.show(*unique)), int(demo.show(*unique))
    expect(twin == ids["unique"], "a unique twin is answered with the first one's id")
    return ids


def first_minute(demo: Demo, ids: dict[str, int]) -> None:
    """What cron does after a minute: everything but the payment is done."""
    print("\n# What cron does each minute")
    printed = demo.show("run")
    expect(sys.stdout.isatty() or printed == "", "a run without a terminal is silent")
    jobs = demo.jobs()
    expect(len(jobs) == len(ids), "each job is stored once, the unique one too")
    done = {name for name, id_ in ids.items() if jobs[id_]["state"] == "finished"}
    expect(done == set(ids) - {"payment"}, "everything but the payment has finished")
    expect(jobs[ids["payment"]]["state"] == "retrying", "the payment will be tried again")
    shelves = [jobs[ids[f"shelf {shelf}"]] for shelf in (1, 2, 3)]
    in_turn = all(a["finished_at"] <= b["started_at"] for a, b in pairwise(shelves))
    expect(in_turn, "the jobs of a group ran one after the other")
    output = json.loads(demo.run("show", str(ids["command"]), "--json"))["output"]["stdout"]
    expect(output == "the shell was here\n", "what the command printed is kept")
    demo.show("why", str(ids["payment"]))


def next_minutes(demo: Demo, ids: dict[str, int]) -> None:
    """Later runs: the payment's second attempt."""
    print("\n# A second later (a minute, without this demo's cronq.toml)")
    payment = str(ids["payment"])
    deadline = time.monotonic() + 30
    while json.loads(demo.run("show", payment, "--json"))["state"] == "retrying":
        expect(time.monotonic() < deadline, "the payment is tried again within 30 s")
        demo.run("run")
    print("$ cronq run")
    job = json.loads(demo.run("show", payment, "--json"))
    expect(job["state"] == "finished", "the second attempt succeeded")
    expect(job["attempt"] == 2, "there were two attempts")  # noqa: PLR2004
    [attempt] = job["attempts"]
    expect("did not answer" in attempt["error"]["message"], "the failed attempt is remembered")
    demo.show("wait", payment)


if __name__ == "__main__":
    main()
