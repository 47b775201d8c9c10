"""A queue with some history, and a worker at work: what the pictures show."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

HERE = Path(__file__).parent
BIN = Path(sys.prefix) / "bin"
CRONQ = str(BIN / "cronq")
CONFIG = """\
database = "sqlite:///shop.db"
app = "shop:queue"
jobs = 2
[retry]
base = "8m"
"""
_MINUTE = 60_000_000


class Scene:
    """A shop in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.environment = {
            "HOME": str(directory),
            "PATH": f"{BIN}:/usr/local/bin:/usr/bin:/bin",
            "TERM": "xterm-256color",
            "LANG": "C.UTF-8",
            "LC_ALL": "C.UTF-8",
            "COLORTERM": "truecolor",
        }
        self.bank = 0
        self.batch = 0
        self._worker: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.directory.mkdir(parents=True)
        shutil.copy(HERE / "shop.py", self.directory)
        (self.directory / "cronq.toml").write_text(CONFIG)
        self._yesterday()
        self._today()
        self._now()
        return self

    def __exit__(self, *_failure: object) -> None:
        if self._worker is not None:
            self._worker.terminate()
            self._worker.wait()

    def cronq(self, *arguments: str, stdin: str = "") -> str:
        """Run a command; what it printed."""
        ran = subprocess.run(
            [CRONQ, *arguments],
            cwd=self.directory,
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        return ran.stdout.strip()

    def put(self, *jobs: Mapping[str, object]) -> list[int]:
        """Enqueue jobs, all at once; their ids."""
        lines = "".join(f"{json.dumps(job)}\n" for job in jobs)
        return [int(line) for line in self.cronq("enqueue", "--stdin", stdin=lines).split()]

    def put_many(self, number: int) -> None:
        """Enqueue so many little jobs in a queue of their own."""
        self.put(*(_picture(str(one)) | {"queue": "bulk"} for one in range(number)))

    def _yesterday(self) -> None:
        dump = "echo dumping shop; echo 'pg_dump: error: connection to server failed' >&2; exit 1"
        self.put(
            *({"task": "stock.count", "args": {"shelf": shelf}, "group": "stock"} for shelf in range(1, 31)),
            {"command": dump, "queue": "night", "max_attempts": 1},
            {"command": "echo 12034 pages freed", "queue": "night"},
        )
        self.cronq("run")
        self._age(19 * 60)

    def _today(self) -> None:
        subject = "Your order has left"
        mails = [_mail(f"ann{number}@example.org", subject) | {"key": f"order-{number}"} for number in range(1, 5)]
        lost = [_mail(f"bob{number}@nowhere.example", "Your invoice") | {"max_attempts": 1} for number in (17, 18)]
        expired = {"task": "payment.collect", "args": {"order": 41, "card": "expired"}}
        bank = {"task": "payment.collect", "args": {"order": 42, "card": "4111"}, "key": "order-42"}
        self.bank = self.put(*mails, *lost, expired, bank)[-1]
        self.cronq("run")
        for minutes in (9, 17):
            self._age(minutes)
            self.cronq("run")
        self.put(
            {"task": "invoice.book", "args": {"number": 1207}},
            _picture("odd"),
            _mail("cy@nowhere.example", "Are you there?"),
        )
        self.cronq("run")
        self._age(4)

    def _now(self) -> None:
        self.put(
            *(_picture(str(number)) for number in range(1, 8)),
            {"command": "pg_dump shop | gzip > /backup/shop.gz", "queue": "night", "at": "+5h"},
            *({"command": f"./{name}", "queue": name, "at": "+2h"} for name in ("export", "reports", "search", "sync")),
            _picture("panorama", seconds=3600),
            {"command": "sleep 3600", "group": "export"},
            {"command": "rsync -a /srv/shop backup:", "group": "export"},
        )
        self._worker = subprocess.Popen([CRONQ, "run", "-q"], cwd=self.directory, env=self.environment)
        deadline = time.monotonic() + 60
        while len(self.cronq("ls", "--state", "running").splitlines()) < 2:  # noqa: PLR2004
            if time.monotonic() > deadline:
                raise TimeoutError("the worker takes no job")
            time.sleep(0.2)
        self.put(*(_mail(f"dee{number}@example.org", "Welcome") for number in range(3)))

    def _age(self, minutes: int) -> None:
        """Let so much time have passed since everything that has happened."""
        with sqlite3.connect(self.directory / "shop.db") as database:
            for table, columns in (
                ("cronq_jobs", ("created_at", "available_at", "started_at", "finished_at")),
                ("cronq_attempts", ("started_at", "finished_at")),
            ):
                changes = ", ".join(f"{column} = {column} - {minutes * _MINUTE}" for column in columns)
                database.execute(f"UPDATE {table} SET {changes}")
        database.close()


def _mail(to: str, subject: str) -> dict[str, object]:
    return {"task": "mail.send", "args": {"to": to, "subject": subject}}


def _picture(name: str, **arguments: object) -> dict[str, object]:
    return {"task": "thumbnail.make", "args": {"url": f"https://example.org/{name}.png", **arguments}}
