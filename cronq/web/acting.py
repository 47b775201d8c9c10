"""Show what a change would do, make it in the background once it is confirmed, and show its progress."""

from __future__ import annotations

import secrets
import shlex
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flask import Response, abort, current_app, g, redirect, render_template, request, url_for

from cronq.errors import CronqError, InvalidInput
from cronq.render.text import document
from cronq.system import audit
from cronq.system.log import log
from cronq.web.answers import JSON, wants_json
from cronq.web.changes import Change, Result, prepare
from cronq.web.pages import ID, behind, census

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flask import Flask
    from werkzeug.wrappers import Response as AnyResponse

    from cronq.web.backend import Backend

_ANSWERS_WITHIN = 1.0
"""Seconds for which a request waits for its change to end: most do, so that no progress has to be shown."""

_KEPT = 100
_OURS = ("csrf", "confirmed", "count")


@dataclass
class BulkChange:
    """A change that is being made, or was made, with its progress and result."""

    change: Change
    number: int
    done: int = 0
    changed: int = 0
    result: Result | None = None
    problem: str | None = None

    @property
    def is_over(self) -> bool:
        """Whether the change has ended, with a result or with a problem."""
        return self.result is not None or self.problem is not None

    def advance(self, done: int, changed: int) -> None:
        """Keep the number of jobs processed so far, and of those that were changed."""
        self.done, self.changed = done, changed

    def record(self) -> None:
        """Write to the audit log what was changed, if anything was."""
        if self.changed:
            audit.record(shlex.split(self.change.command)[1:], self.changed if self.change.is_of_jobs else None)


class BulkChanges:
    """Makes changes one after the other in a thread, and keeps the last ones with their results."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._executor = ThreadPoolExecutor(1, "cronq-web-change")
        self._known: dict[str, BulkChange] = {}

    def start(self, change: Change, number: int, *, who: str) -> str:
        """Start a change of at most `number` jobs; returns its mark when it has ended, or after a second.

        The audit log names `who` as its author.
        """
        mark = secrets.token_urlsafe(9)
        while len(self._known) >= _KEPT:
            self._known.pop(next(iter(self._known)))
        known = self._known[mark] = BulkChange(change, number)
        wait([self._executor.submit(self._do, known, who)], _ANSWERS_WITHIN)
        return mark

    def get(self, mark: str) -> BulkChange | None:
        """Return the change with this mark; None if it is unknown here or no longer kept."""
        return self._known.get(mark)

    def _do(self, known: BulkChange, who: str) -> None:
        try:
            with audit.acting_as(who):
                try:
                    known.result = known.change.perform(known.number, known.advance)
                finally:
                    known.record()
        except CronqError as error:
            known.problem = str(error)
        except Exception as error:
            log.exception("cronq web: %s", known.change.command)
            known.problem = f"{type(error).__name__}: the server's log says more"
        finally:
            self._backend.changed()


def register(app: Flask, backend: Backend) -> None:
    """Add the endpoints of changes to the application."""
    app.extensions["cronq-changes"] = BulkChanges(backend)
    app.add_url_rule("/act/<verb>", "act", act, methods=["POST"])
    app.add_url_rule("/done/<mark>", "done", done, methods=["GET"])
    app.add_url_rule(f"/jobs/<{ID}:job_id>/follow", "follow", follow, methods=["POST"])


def act(verb: str) -> AnyResponse:
    """Show what a change would do; make it if the form says that it is confirmed."""
    census()
    change = prepare(verb, request.form, behind())
    if request.form.get("confirmed") != "yes":
        return _preview(verb, change)
    bulk_changes: BulkChanges = current_app.extensions["cronq-changes"]
    mark = bulk_changes.start(change, min(change.number, _confirmed_number()), who=g.viewer.name)
    if wants_json():
        return done(mark)
    return redirect(url_for("done", mark=mark), 303)


def _confirmed_number() -> int:
    text = request.form.get("count", "")
    if not (text.isascii() and text.isdecimal() and len(text) < 12):  # noqa: PLR2004
        raise InvalidInput("count: the number of jobs that was confirmed is missing")
    return int(text)


def _preview(verb: str, change: Change) -> Response:
    if wants_json():
        examples = [job.id for job in change.examples]
        shown = {"verb": verb, "count": change.number, "examples": examples, "command": change.command}
        return Response(document(shown) + "\n", mimetype=JSON)
    fields = [(name, value) for name, value in request.form.items(multi=True) if name not in _OURS]
    page = render_template(
        "confirm.html", verb=verb, change=change, fields=fields, stats=g.seen.value, masking=behind().masking
    )
    return Response(page)


def done(mark: str) -> Response:
    """Show the progress of a change, or its result."""
    bulk_changes: BulkChanges = current_app.extensions["cronq-changes"]
    known = bulk_changes.get(mark)
    if known is None:
        abort(404, "This change is not known any more: the audit page has what was done.")
    if wants_json():
        return Response(document(_as_json(known)) + "\n", mimetype=JSON)
    response = Response(render_template("done.html", known=known, change=known.change))
    if not known.is_over:
        response.headers["Refresh"] = "1"
    return response


def _as_json(known: BulkChange) -> dict[str, object]:
    left: Sequence[str] = known.result.left if known.result else ()
    changed = known.result.changed if known.result else None
    return {"over": known.is_over, "changed": changed, "refused": list(left), "error": known.problem}


def follow(job_id: int) -> Response:
    """Request the live output of a job from its runner. Viewers may do so too: it changes no job."""
    behind().store.live_output.follow(job_id)
    return Response(status=204)
