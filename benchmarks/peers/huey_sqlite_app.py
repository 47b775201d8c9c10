"""The app that huey's consumer loads."""

from __future__ import annotations

import os
from pathlib import Path

from huey import SqliteHuey

from benchmarks.work import no_op

huey = SqliteHuey(filename=str(Path(os.environ["BENCH_PLACE"]) / "huey.db"), fsync=True)
no_op_task = huey.task()(no_op)
