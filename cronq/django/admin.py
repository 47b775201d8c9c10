"""Show jobs in Django's admin, read-only, with attempts, output and why a job isn't running; retry and cancel them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.utils.html import format_html

from cronq.config import django_project
from cronq.django.checks import backends
from cronq.django.models import Attempt, Job, when
from cronq.errors import ConfigError, CronqError
from cronq.model.job import State
from cronq.monitoring.why import explain
from cronq.monitoring.why_facts import FactFinder
from cronq.system import audit

if TYPE_CHECKING:
    from collections.abc import Callable

    from cronq.app import Cronq
    from cronq.django.backend import CronqBackend
    from cronq.store import Store

_LONG = ("args", "result", "stdout", "stderr", "error_message")


class _ReadOnly:
    """Refuses to add, change or delete rows."""

    def has_add_permission(self, request: Any, obj: Any = None) -> bool:  # noqa: ARG002 - Django's interface
        """Return False: tasks are enqueued by the project."""
        return False

    def has_delete_permission(self, request: Any, obj: Any = None) -> bool:  # noqa: ARG002 - as above
        """Return False: `cronq clear-finished` deletes."""
        return False


def _time(field: str) -> Any:
    @admin.display(description=field.replace("_at", "").replace("_", " "), ordering=field)
    def shown(_admin: Any, row: Any) -> Any:
        return when(getattr(row, field))

    return shown


def _text(field: str) -> Any:
    @admin.display(description=field.replace("_", " "))
    def shown(_admin: Any, row: Any) -> Any:
        value = getattr(row, field)
        return "" if value is None else format_html('<pre style="white-space: pre-wrap">{}</pre>', value)

    return shown


class AttemptInline(_ReadOnly, admin.TabularInline):
    """The recorded attempts of a job."""

    model = Attempt
    fields = readonly_fields = ("number", "outcome", "started", "finished", "host", "pid", "error_class", "trace")
    started, finished = _time("started_at"), _time("finished_at")
    trace = _text("traceback")
    extra = 0

    def has_change_permission(self, request: Any, obj: Any = None) -> bool:  # noqa: ARG002 - as above
        """Return False: attempts are history."""
        return False

    def has_view_permission(self, request: Any, obj: Any = None) -> bool:  # noqa: ARG002 - as above
        """Tell whether the user may view or change jobs, and so may view their attempts."""
        return bool(request.user.has_perm("cronq.view_job") or request.user.has_perm("cronq.change_job"))


class StateFilter(admin.SimpleListFilter):
    """Selects the jobs in one state; the states are listed without a query."""

    title = parameter_name = "state"

    def lookups(self, request: Any, model_admin: Any) -> Any:  # noqa: ARG002 - Django's interface
        """Return the states."""
        return [(str(state), str(state)) for state in State]

    def queryset(self, request: Any, queryset: Any) -> Any:  # noqa: ARG002 - as above
        """Return the jobs in the chosen state, all if none is chosen."""
        return queryset.filter(state=self.value()) if self.value() else queryset


class QueueFilter(admin.SimpleListFilter):
    """Selects the jobs of one of the queues in TASKS."""

    title = parameter_name = "queue"

    def lookups(self, request: Any, model_admin: Any) -> Any:  # noqa: ARG002 - as above
        """Return the queues."""
        return [(queue, queue) for queue in sorted({queue for one in backends() for queue in one.queues})]

    def queryset(self, request: Any, queryset: Any) -> Any:  # noqa: ARG002 - as above
        """Return the jobs of the chosen queue, all if none is chosen."""
        return queryset.filter(queue=self.value()) if self.value() else queryset


@admin.register(Job)
class JobAdmin(_ReadOnly, admin.ModelAdmin):
    """Lists and shows jobs; users with the change permission can retry and cancel them."""

    list_display = ("id", "task", "queue", "state", "attempt", "created", "started", "finished", "error_class")
    list_filter = (StateFilter, QueueFilter)
    search_fields = ("task", "key", "group", "args", "error_message")
    ordering = ("-id",)
    show_full_result_count = False
    actions = ("retry", "cancel")
    inlines = (AttemptInline,)
    created, available = _time("created_at"), _time("available_at")
    started, finished = _time("started_at"), _time("finished_at")
    arguments, returned, error = _text("args"), _text("result"), _text("error_message")
    printed, printed_errors = _text("stdout"), _text("stderr")
    fields = readonly_fields = (
        *("why", "id", "task", "queue", "state", "priority", "key", "group", "arguments", "attempt", "max_attempts"),
        *("created", "available", "started", "finished", "worker", "outcome", "returned", "error_class", "error"),
        *("printed", "printed_errors"),
    )

    def get_queryset(self, request: Any) -> Any:
        """Return the jobs; for the list, without the long columns, which it doesn't show."""
        found = super().get_queryset(request)
        return found if request.resolver_match.url_name.endswith("_change") else found.defer(*_LONG)

    def has_change_permission(self, request: Any, obj: Any = None) -> bool:
        """Tell whether the user may retry and cancel; the fields are read-only."""
        return bool(super().has_change_permission(request, obj))

    def change_view(self, request: Any, object_id: str, form_url: str = "", extra_context: Any = None) -> Any:
        """Show a job without buttons that save."""
        hidden = {"show_save": False, "show_save_and_continue": False, "show_save_and_add_another": False}
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **hidden})

    @admin.display(description="why")
    def why(self, row: Any) -> str:
        """Explain in one sentence what the job waits for, or how it ended."""
        if not backends():
            return django_project.NO_BACKEND
        backend = _backend()
        job = backend.store.jobs.get(row.id)
        return "" if job is None else explain(job, FactFinder(backend.config, _queue).of(backend.store, job))

    @admin.action(description="Retry selected jobs", permissions=["change"])
    def retry(self, request: Any, chosen: Any) -> None:
        """Make jobs ready again with fresh attempts."""
        self._change(request, chosen, ("retry", "retried"), lambda store, ids: store.admin.retry(ids))

    @admin.action(description="Cancel selected jobs", permissions=["change"])
    def cancel(self, request: Any, chosen: Any) -> None:
        """Cancel jobs that don't run and haven't ended."""
        reason = f"cancelled by {request.user.get_username()} in the admin"
        verb = ("cancel", "cancelled")
        self._change(request, chosen, verb, lambda store, ids: store.admin.cancel(ids, reason=reason))

    def _change(
        self, request: Any, chosen: Any, verb: tuple[str, str], change: Callable[[Store, list[int]], list[int]]
    ) -> None:
        """Change the jobs in the name of the request's user, write to the audit log, and show the result."""
        command, done = verb
        ids = sorted(chosen.values_list("id", flat=True))
        try:
            with audit.acting_as(request.user.get_username()):
                count = len(change(_backend().store, ids))
                audit.record((command, *map(str, ids)), count)
        except CronqError as error:
            self.message_user(request, str(error), messages.ERROR)
            return
        left = len(ids) - count
        rest = f"; {left} not, because of their state" if left else ""
        self.message_user(request, f"{count} {done}{rest}", messages.WARNING if left else messages.SUCCESS)


def _queue() -> Cronq:
    from cronq.django.runner import queue  # here, not above: it imports the tasks of all apps

    return queue  # type: ignore[no-any-return]


def _backend() -> CronqBackend:
    found = backends()
    if not found:
        raise ConfigError(django_project.NO_BACKEND)
    return next((one for one in found if one.alias == "default"), found[0])
