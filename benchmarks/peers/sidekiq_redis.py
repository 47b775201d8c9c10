"""Sidekiq on a Redis that writes each command to the disk."""

from __future__ import annotations

import shutil

from benchmarks.foreign import SCRIPTS, Foreign
from benchmarks.redis_server import url

APP = str(SCRIPTS / "ruby" / "sidekiq_app.rb")


class Queue(Foreign):
    """Two processes with ten threads each, the default."""

    name = "Sidekiq, Redis, fsync"
    promise = "at most once (taken off the list before it runs), ten threads each, no isolation; appendfsync always"
    redis = "always"

    @classmethod
    def missing(cls) -> str | None:
        return None if shutil.which("ruby") and shutil.which("sidekiq") else "ruby and Debian's ruby-sidekiq"

    def producer(self) -> list[str]:
        return [*self._environment(), "ruby", APP]

    def workers(self) -> list[list[str]]:
        return [[*self._environment(), "sidekiq", "--require", APP]] * 2

    def _environment(self) -> list[str]:
        return ["env", f"BENCH_REDIS={url(self.place)}"]
