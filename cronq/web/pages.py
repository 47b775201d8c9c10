"""Answer requests for the pages: read what a page shows, and render its template or return the same as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from flask import Response, current_app, g, render_template, request

from cronq.errors import JobNotFound, NoQueue
from cronq.model.job import CANCELLABLE, COMMAND_TASK, ENDED, RETRYABLE, Job, State
from cronq.model.states import SHOWN
from cronq.monitoring.job_record import JobRecord
from cronq.monitoring.why import explain
from cronq.monitoring.why_facts import FactFinder
from cronq.storage.history import History
from cronq.times import iso
from cronq.web import query
from cronq.web.answers import answer, wants_json
from cronq.web.diagnosis import Condition, diagnose

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask import Flask

    from cronq.storage.browsing import JobRow
    from cronq.storage.stats import QueueStats
    from cronq.web.backend import Backend
    from cronq.web.snapshots import Seen

NAVIGATION = {
    "now": "Now",
    "failures": "Failures",
    "jobs": "Jobs",
    "queues": "Queues",
    "workers": "Workers",
    "schedules": "Schedules",
    "batches": "Batches",
    "limits": "Limits",
    "audit": "Audit",
}
"""The pages by endpoint, in the order of the menu."""

WITHIN = {"job": "jobs", "batch": "batches", "limit": "limits"}
"""The page of the menu to which the page of one job, batch or limit belongs."""

COLUMNS = tuple(state for state in SHOWN if state != State.CANCELLED)
"""The states that have a column on the pages of queues."""

ID = f"int(max={2**63 - 1})"
"""The converter in the rules of addresses for an id that a database can hold."""

SHOWN_LINES = 50
_AUDITED = 100


def register(app: Flask) -> None:
    """Add the pages to the application."""
    for rule, view in (
        ("/", now),
        ("/failures", failures),
        ("/jobs", jobs),
        (f"/jobs/<{ID}:job_id>", job),
        ("/queues", queues),
        ("/workers", workers),
        ("/schedules", schedules),
        ("/audit", audit),
    ):
        app.add_url_rule(rule, view.__name__, view, methods=["GET"])


def behind() -> Backend:
    """Return the backend of the pages."""
    return cast("Backend", current_app.extensions["cronq"])


def census() -> Seen[QueueStats]:
    """Return the shared statistics of the queue, and keep them for the page's frame."""
    g.seen = behind().census.get()
    return g.seen  # type: ignore[no-any-return]


def now() -> Response:
    """Show what is wrong, then the queues."""
    try:
        seen = census()
    except NoQueue as error:
        if wants_json():
            raise
        return Response(render_template("empty.html", text=str(error)))
    backend, stats = behind(), seen.value
    found = diagnose(Condition(stats, backend.failures.peek([]), backend.held.peek([])))

    def as_json() -> dict[str, Any]:
        from cronq.render.status import summary

        return {"problems": [one.to_json() for one in found], **summary(stats), "age": seen.age, "error": seen.problem}

    history = backend.history.peek(History(stats.now, ()))
    return answer("now.html", as_json, sentences=found, stats=stats, columns=COLUMNS, history=history)


def failures() -> Response:
    """Show failures by fingerprint, with one traceback each."""
    backend, stats = behind(), census().value
    seen = backend.failures.get()
    examples = {one.fingerprint: _traceback(one.example) for one in seen.value[:SHOWN_LINES]}
    return answer(
        "failures.html",
        lambda: [one.to_json() for one in seen.value],
        groups=seen.value[:SHOWN_LINES],
        more=max(0, len(seen.value) - SHOWN_LINES),
        examples=examples,
        masking=backend.masking,
        stats=stats,
    )


def _traceback(job_id: int) -> str | None:
    attempts = behind().store.jobs.attempts(job_id)
    error = attempts[-1].error if attempts else None
    return None if error is None else error.traceback


def jobs() -> Response:
    """Show the jobs that the filters select, newest first."""
    backend, stats = behind(), census().value
    asked = query.read(request.args, now=stats.now)
    before = query.identifier(request.args.get("before"))
    admits = query.searched(asked.selection.search, backend.masking)
    page = backend.browser.page(asked.selection, before=before, limit=SHOWN_LINES, admits=admits)
    return answer(
        "jobs.html",
        lambda: {"jobs": [_job_json(one) for one in page.jobs], "older": page.older, "looked_to": page.looked_to},
        page=page,
        asked=asked,
        stats=stats,
        states=[state.value for state in State],
        before=before,
        verbs=_verbs(asked),
        masking=backend.masking,
    )


def _verbs(asked: query.Query) -> Iterator[str]:
    """Yield the changes that are offered for all jobs of a filtered list: those its states allow."""
    states = asked.selection.states
    if not asked.given:
        return
    if not states or states & RETRYABLE - {State.FINISHED}:
        yield "retry"
    if not states or states & CANCELLABLE:
        yield "cancel"


def _job_json(job: JobRow) -> dict[str, Any]:
    """Return a job of a list with the field names of `cronq ls --json`, without the fields that only its page reads."""
    args = behind().masking.args(job.task, job.args)
    command = args.get("command") if job.task == COMMAND_TASK and isinstance(args, dict) else None
    return {
        "id": job.id,
        "queue": job.queue,
        "task": job.task,
        "args": args if job.task != COMMAND_TASK else None,
        "command": command,
        "state": job.state,
        "priority": job.priority,
        "key": job.key,
        "group": job.group,
        "attempt": job.attempt,
        "max_attempts": job.max_attempts,
        "created_at": iso(job.created_at),
        "available_at": iso(job.available_at),
        "started_at": None if job.started_at is None else iso(job.started_at),
        "finished_at": None if job.finished_at is None else iso(job.finished_at),
        "outcome": job.outcome,
        "error": job.error_class and {"class": job.error_class, "message": job.error_message},
        "host": job.host,
        "worker": job.worker,
        "schedule": job.schedule,
    }


def job(job_id: int) -> Response:
    """Show one job: why it is in its state, its attempts, arguments and output. Raises JobNotFound."""
    backend, stats = behind(), census().value
    found = backend.store.jobs.get(job_id)
    if found is None:
        raise JobNotFound(f"There is no job {job_id}.")
    record = JobRecord.read(backend.store, found)
    record = record._replace(job=backend.masking.job(found))
    sentence = explain(found, FactFinder(backend.config).of(backend.store, found, stats))

    def as_json() -> dict[str, Any]:
        return {**record.to_json(), "why": sentence}

    return answer(
        "job.html",
        as_json,
        record=record,
        job=record.job,
        why=sentence,
        stats=stats,
        verbs=_verbs_of(found),
        live=_live(found) if found.state == State.RUNNING else None,
        ended=found.state in ENDED,
    )


def _verbs_of(found: Job) -> Iterator[str]:
    state = State(found.state) if found.state in list(State) else None
    if state in RETRYABLE:
        yield "retry"
    if state in CANCELLABLE:
        yield "cancel"
    if state == State.RUNNING:
        yield "kill"


def _live(found: Job) -> tuple[str, str] | None:
    tail = behind().store.live_output.read(found.id)
    if tail is None:
        return None
    return tail.stdout.last.decode("utf-8", "replace"), tail.stderr.last.decode("utf-8", "replace")


def queues() -> Response:
    """Show all queues: jobs by state, the oldest due one, the workers that listen."""
    from cronq.render.status import summary

    stats = census().value
    history = behind().history.peek(History(stats.now, ()))
    return answer("queues.html", lambda: summary(stats), stats=stats, columns=COLUMNS, history=history)


def workers() -> Response:
    """Show all workers with the jobs they run, and the last run of each host."""
    from cronq.monitoring.worker_views import worker_views

    backend, stats = behind(), census().value
    seen = list(worker_views(backend.store, backend.config))
    runs = backend.store.runs.all()
    return answer(
        "workers.html",
        lambda: [one.to_json() for one in seen],
        workers=seen,
        endable=[one for one in seen if g.viewer.may_act and one.worker.kind == "work" and one.state == "running"],
        runs=runs,
        stats=stats,
    )


def schedules() -> Response:
    """Show all schedules: the last and the next due time, and the missed ones."""
    from cronq.monitoring.schedules import views

    backend, stats = behind(), census().value
    seen = views(backend.store)
    missed = {one.name: one.missed for one in stats.schedules}
    return answer("schedules.html", lambda: [one.to_json() for one in seen], views=seen, missed=missed, stats=stats)


def audit() -> Response:
    """Show what was done by hand, when and by whom, the newest first."""
    backend, stats = behind(), census().value
    before = query.identifier(request.args.get("before"))
    found = backend.store.actions.latest(limit=_AUDITED, before=before)
    return answer("audit.html", lambda: [one.to_json() for one in found], done=found, before=before, stats=stats)
