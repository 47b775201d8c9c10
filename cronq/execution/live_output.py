"""Share the output of running jobs with `cronq tail`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cronq.execution.pool import Pool
    from cronq.store import Store


class LiveOutput:
    """Writes the output of followed jobs to the database, where `cronq tail` reads it."""

    def __init__(self, store: Store, pool: Pool) -> None:
        self._store = store
        self._pool = pool
        self._shown: dict[int, tuple[int, int, int]] = {}

    def show(self, followed: Sequence[int]) -> None:
        """Write the output of these jobs, as far as they run here, to the database if there is more than before."""
        if not followed and not self._shown:
            return
        from cronq.storage.live_output import WINDOW, Tail, Written  # here, not above: few jobs are followed

        shown: dict[int, tuple[int, int, int]] = {}
        for job_id in followed:
            found = self._pool.written_by(job_id, WINDOW)
            if found is None:
                continue
            job, (stdout, stderr) = found
            shown[job_id] = (job.token, stdout[0], stderr[0])
            if self._shown.get(job_id) != shown[job_id]:
                self._store.live_output.write(job_id, Tail(job.token, Written(*stdout), Written(*stderr)))
        self._shown = shown
