"""The app that cronq's runners load."""

from __future__ import annotations

from benchmarks.work import no_op
from cronq import Cronq

queue = Cronq.from_config()
queue.task(name="no-op")(no_op)
