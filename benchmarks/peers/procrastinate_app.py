"""The app that procrastinate's workers load."""

from __future__ import annotations

import os
from pathlib import Path

from procrastinate import App, PsycopgConnector

from benchmarks.servers import url
from benchmarks.work import no_op

app = App(connector=PsycopgConnector(conninfo=url(Path(os.environ["BENCH_PLACE"])).replace("+psycopg", "")))


@app.task(name="no-op")
async def no_op_task(n: int, mark: str | None = None) -> None:
    """Do nothing, in the event loop itself: a plain function would be run in a thread."""
    no_op(n, mark)
