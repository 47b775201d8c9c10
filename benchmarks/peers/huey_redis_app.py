"""The app that huey's consumer loads."""

from __future__ import annotations

import os

from huey import RedisHuey

from benchmarks.redis_server import url
from benchmarks.work import no_op

huey = RedisHuey(url=url(os.environ["BENCH_PLACE"]))
no_op_task = huey.task()(no_op)
