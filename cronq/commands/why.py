"""`cronq why`: say why a job isn't running."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer  # noqa: TC002 - it reads the annotations itself

from cronq.commands import options as given

if TYPE_CHECKING:
    from cronq.store import Store

_WHY_EXAMPLE = """\
Example:

\b
  $ cronq why 42
  Job 42 is blocked: group "invoice-7" is held by job 40, which is running.
  $ cronq why batch:7
  Batch 7 (import) is running: 3 of 10 jobs have not ended, the first is job 48 (retrying): `cronq why 48`.
  $ cronq why report.daily
  Schedule "report.daily" is paused by ann@web1 since 2026-11-28 09:00:00+01:00: moving.

Exit status: 0 done, 1 no such job or batch, 65 bad input, 69 database out of reach, 78 configuration.
"""


def _why(context: typer.Context, ids: given.SomeJobs, *, as_json: given.AsJson = False) -> None:
    """Say why a job or a schedule isn't running.

    Of a batch it says why it has not ended.
    """
    from cronq.execution import leftovers
    from cronq.model.printable import one_line
    from cronq.monitoring import why
    from cronq.monitoring.batches import explain as explain_batch
    from cronq.monitoring.why_facts import FactFinder
    from cronq.render.text import document, write

    call = given.invocation(context)
    with call.store(reading=True) as store:
        if len(ids) == 1 and store.schedules.get(ids[0]) is not None:
            _tell_of_schedule(store, ids[0], as_json=as_json)
            return
        named = [text for text in ids if text.startswith("batch:")]
        batches = [(batch, explain_batch(store, batch)) for batch in (given.batch(store, text) for text in named)]
        jobs, missing = given.jobs(store, [text for text in ids if text not in named])
        found = [leftovers.with_its_process(call.config, job) for job in jobs]
        facts = FactFinder(call.config, lambda: call.cronq(with_tasks=True))
        told = [(job, why.explain(job, facts.of(store, job))) for job in found]
    if as_json:
        shown: list[dict[str, Any]] = [
            {"id": job.id, "state": str(job.state), "why": sentence} for job, sentence in told
        ]
        shown += [{"batch": batch.id, "state": batch.state, "why": sentence} for batch, sentence in batches]
        write([document(shown)] if len(ids) > 1 else map(document, shown))
    else:
        write(one_line(sentence) for _, sentence in [*told, *batches])
    given.require_none(missing)


def _tell_of_schedule(store: Store, name: str, *, as_json: bool) -> None:
    from cronq.model.printable import one_line
    from cronq.monitoring.schedules import blocker_of, explain, queue_of, views
    from cronq.render.text import document, write

    (view,) = views(store, [name])
    stats = store.jobs.stats()
    job = blocker_of(view)
    blocker = None if job is None else store.jobs.get(job)
    paused = queue_of(view) in stats.paused
    sentence = explain(view, looked_at=stats.last_run, queue_paused=paused, blocker=blocker)
    if as_json:
        write([document({"schedule": name, "state": view.state, "why": sentence})])
    else:
        write([one_line(sentence)])


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("why", epilog=_WHY_EXAMPLE)(_why)
