"""Prepare the changes that pages offer: find out what each would do, and make the function that does it."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, NamedTuple

from cronq.errors import InvalidInput
from cronq.flow.setting import LimitSetter
from cronq.model.job import CANCELLABLE, RETRYABLE, UNFINISHED, State
from cronq.model.limits import read_concurrency, read_rate
from cronq.storage.tables import BATCH
from cronq.storage.workers import END
from cronq.system import audit
from cronq.web import query

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from werkzeug.datastructures import MultiDict

    from cronq.model.selection import Selection
    from cronq.storage.browsing import JobRow
    from cronq.store import Store
    from cronq.web.backend import Backend

    Advance = Callable[[int, int], None]
    """Called with the number of jobs processed so far, and of those that were changed."""

EXAMPLES = 5
_MOST = 10_000_000


class Result(NamedTuple):
    """The result of a change: the number of things changed, and a sentence for each one that was not changed."""

    changed: int
    left: Sequence[str] = ()


class Change(NamedTuple):
    """A change that isn't made yet: its description, what it would change, and the function that makes it."""

    question: str
    """`Retry 312 jobs`, without a question mark."""
    done: str
    """The participle for the result: `retried`."""
    command: str
    number: int
    perform: Callable[[int, Advance], Result]
    """Makes the change on at most so many jobs, and tells its second argument after each batch how far it is."""
    back: tuple[str, dict[str, object]]
    """The endpoint of the page to go back to, and its parameters."""
    examples: Sequence[JobRow] = ()
    warning: str = ""
    is_of_jobs: bool = False


def prepare(verb: str, form: MultiDict[str, str], backend: Backend) -> Change:
    """Prepare the change that a form describes, without making it.

    Raises InvalidInput for an unknown verb or wrong fields, or if no job or name is given.
    """
    if verb in _JOBS:
        return _change_of_jobs(_JOBS[verb], form, backend)
    if verb in _OTHERS:
        return _OTHERS[verb](form, backend)
    raise InvalidInput(f"there is no change {verb!r}")


# Jobs


class _Verb(NamedTuple):
    name: str
    done: str
    words: str
    """The words of the command after `cronq`."""
    usual: frozenset[State]
    allowed: frozenset[State]
    change: Callable[[Store, Sequence[int]], Result]


def _retry(store: Store, ids: Sequence[int]) -> Result:
    changed, twins = store.admin.retry_all_but_twins(ids)
    left = [f"job {job}: job {twin} with the same unique key is unfinished" for job, twin in twins.items()]
    return Result(len(changed), left)


def _cancel(store: Store, ids: Sequence[int]) -> Result:
    return Result(len(store.admin.cancel(ids, reason="by hand")))


def _kill(store: Store, ids: Sequence[int]) -> Result:
    cancelled = store.admin.cancel(ids, reason="by hand")
    return Result(len(cancelled) + len(store.admin.request_kill(sorted(set(ids) - set(cancelled)))))


_JOBS = {
    "retry": _Verb("Retry", "retried", "retry", frozenset({State.FAILED, State.RETRYING}), RETRYABLE, _retry),
    "cancel": _Verb("Cancel", "cancelled", "cancel", UNFINISHED, CANCELLABLE, _cancel),
    "kill": _Verb("End", "ended", "cancel --kill", UNFINISHED, CANCELLABLE | {State.RUNNING}, _kill),
}


def _change_of_jobs(verb: _Verb, form: MultiDict[str, str], backend: Backend) -> Change:
    store = backend.store
    asked = query.read(form, now=store.tell_time())
    if not asked.given:
        raise InvalidInput("which jobs? choose some, or filter the list first")
    meant = _in_states(verb, asked.selection)
    admits = query.searched(meant.search, backend.masking)
    examples = backend.browser.page(meant, limit=EXAMPLES, admits=admits).jobs if meant.states else []
    number = 0
    if meant.states:
        number = len(_ids(backend, meant)) if meant.search else store.jobs.count_up_to(meant, _MOST)

    def perform(count: int, advance: Advance) -> Result:
        with_search = _ids(backend, meant)[:count]
        return _in_batches(backend.store, verb, with_search, advance)

    one = number == 1 and examples
    return Change(
        question=f"{verb.name} job {examples[0].id}" if one else f"{verb.name} {number:,} jobs",
        done=verb.done,
        command=" ".join(("cronq", verb.words, shlex.join(asked.options))),
        number=number,
        perform=perform,
        back=_back(asked),
        examples=examples,
        is_of_jobs=True,
    )


def _in_states(verb: _Verb, chosen: Selection) -> Selection:
    """Restrict a selection to the states in which the change is allowed.

    Without states it selects ids in any of these, and other jobs in the usual ones only.
    """
    usual = verb.allowed if chosen.ids else verb.usual
    states = (frozenset(map(State, chosen.states)) or usual) & verb.allowed
    return chosen._replace(states=frozenset(state.value for state in states))


def _ids(backend: Backend, meant: Selection) -> list[int]:
    """Return the ids of the selected jobs, ascending; a search considers only what the viewer may see."""
    if not meant.states:
        return []
    if meant.search is None:
        return backend.store.jobs.ids(meant)
    admits = query.searched(meant.search, backend.masking)
    return sorted(job.id for job in backend.browser.all(meant, admits=admits))


def _in_batches(store: Store, verb: _Verb, ids: Sequence[int], advance: Advance) -> Result:
    changed, left = 0, list[str]()
    for start in range(0, len(ids), BATCH):
        part = verb.change(store, ids[start : start + BATCH])
        changed += part.changed
        left += part.left
        advance(min(len(ids), start + BATCH), changed)
    return Result(changed, left)


def _back(asked: query.Query) -> tuple[str, dict[str, object]]:
    if len(asked.selection.ids) == 1:
        return "job", {"job_id": asked.selection.ids[0]}
    if len(asked.selection.batches) == 1 and asked.given.keys() <= {"batch", "state"}:
        return "batch", {"batch_id": asked.selection.batches[0]}
    return "jobs", {**asked.parameters}


# Queues, workers and schedules


def _named(form: MultiDict[str, str], what: str) -> str:
    name = form.get(what, "").strip()
    if not name:
        raise InvalidInput(f"which {what}?")
    query.require_name(what, name)
    return name


def _once(do: Callable[[], bool], otherwise: str) -> Callable[[int, Advance], Result]:
    def perform(count: int, advance: Advance) -> Result:
        done = do()
        advance(count, int(done))
        return Result(int(done), () if done else (otherwise,))

    return perform


def _pause(form: MultiDict[str, str], backend: Backend) -> Change:
    queue = _named(form, "queue")
    ready = backend.census.get().value.total("ready", [queue])
    return Change(
        f"Pause queue {queue}", "paused", shlex.join(("cronq", "pause", queue)), 1,
        _once(lambda: backend.store.admin.pause(queue), f"queue {queue} was paused already"), ("queues", {}),
        warning=f"None of its jobs starts until it is resumed; {ready:,} are ready now. Running ones go on.",
    )  # fmt: skip


def _resume(form: MultiDict[str, str], backend: Backend) -> Change:
    queue = _named(form, "queue")
    return Change(
        f"Resume queue {queue}", "resumed", shlex.join(("cronq", "resume", queue)), 1,
        _once(lambda: backend.store.admin.resume(queue), f"queue {queue} was not paused"), ("queues", {}),
    )  # fmt: skip


def _end(form: MultiDict[str, str], backend: Backend) -> Change:
    name = _named(form, "worker")
    return Change(
        f"End worker {name} after its jobs", "asked to end", "cronq reload-workers", 1,
        _once(lambda: backend.store.workers.ask(name, END), f"worker {name} is not there any more"), ("workers", {}),
        warning="Its supervisor starts it again, if it has one. Running jobs are finished first.",
    )  # fmt: skip


def _pause_schedule(form: MultiDict[str, str], backend: Backend) -> Change:
    name = _named(form, "schedule")

    def pause() -> bool:
        from cronq.schedules.by_hand import ByHand

        ByHand(backend.store, name).pause(until=None, by=audit.who(), reason=None)
        return True

    return Change(
        f"Pause schedule {name}", "paused", shlex.join(("cronq", "schedules", "pause", name)), 1, _once(pause, ""),
        ("schedules", {}), warning="Its due times are skipped until it is resumed.",
    )  # fmt: skip


def _resume_schedule(form: MultiDict[str, str], backend: Backend) -> Change:
    name = _named(form, "schedule")

    def resume() -> bool:
        from cronq.schedules.by_hand import ByHand

        ByHand(backend.store, name).resume(catch_up=False)
        return True

    return Change(
        f"Resume schedule {name}", "resumed", shlex.join(("cronq", "schedules", "resume", name)), 1, _once(resume, ""),
        ("schedules", {}),
    )  # fmt: skip


def _run_schedule(form: MultiDict[str, str], backend: Backend) -> Change:
    name = _named(form, "schedule")

    def run() -> bool:
        from cronq.schedules.by_hand import ByHand

        return ByHand(backend.store, name).run(force=False).job_id is not None

    return Change(
        f"Run schedule {name} now", "enqueued", shlex.join(("cronq", "schedules", "run", name)), 1,
        _once(run, "its last job is unfinished, so no other one was enqueued"), ("schedules", {}),
    )  # fmt: skip


# Batches and limits


def _close_batch(form: MultiDict[str, str], backend: Backend) -> Change:
    batch_id = query.identifier(_named(form, "id")) or 0
    label = backend.store.batches.require(batch_id).label
    return Change(
        f"Close {label}", "closed", f"cronq batch close {batch_id}", 1,
        _once(lambda: backend.store.batches.close(batch_id), f"{label} was closed already"),
        ("batch", {"batch_id": batch_id}), warning="It takes no more jobs, and ends once those that it has have ended.",
    )  # fmt: skip


def _set_limit(form: MultiDict[str, str], backend: Backend) -> Change:
    name = _named(form, "limit")
    places, rate = form.get("places", "").strip(), form.get("rate", "").strip()
    if not places and not rate:
        raise InvalidInput("a number of places, or a rate such as 100/10s?")
    concurrency = read_concurrency(places, what="places") if places else None
    starts = read_rate(rate, what="rate") if rate else None

    def set_it() -> bool:
        _setter(backend).set(name, concurrency, starts)
        return True

    words = ["cronq", "limits", "set", name, *([places] if places else ()), *(["--rate", rate] if rate else ())]
    return Change(
        f"Set limit {name} to {', '.join(filter(None, (places, rate)))}", "set", shlex.join(words), 1,
        _once(set_it, ""), ("limit", {"name": name}),
        warning="On all hosts, over the configuration, until it is reset. With fewer places, running jobs go on.",
    )  # fmt: skip


def _reset_limit(form: MultiDict[str, str], backend: Backend) -> Change:
    name = _named(form, "limit")

    def reset() -> bool:
        _setter(backend).reset(name)
        return True

    return Change(
        f"Reset limit {name}", "reset", shlex.join(("cronq", "limits", "reset", name)), 1, _once(reset, ""),
        ("limit", {"name": name}), warning="The configuration decides on it again.",
    )  # fmt: skip


def _setter(backend: Backend) -> LimitSetter:
    return LimitSetter(backend.config, backend.store.definitions, backend.store.limits)


_OTHERS: dict[str, Callable[[MultiDict[str, str], Backend], Change]] = {
    "pause": _pause,
    "resume": _resume,
    "end": _end,
    "pause-schedule": _pause_schedule,
    "resume-schedule": _resume_schedule,
    "run-schedule": _run_schedule,
    "close-batch": _close_batch,
    "set-limit": _set_limit,
    "reset-limit": _reset_limit,
}
