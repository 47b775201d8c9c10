"""Test jobs in the admin: what is shown, and which permissions allow what."""

import html

from cronq.django.api import task_backends
from cronq.django.testing import run_tasks
from django.contrib.auth.models import Permission, User
from django.test import TestCase
from shop import tasks

backend = task_backends["default"]
JOBS = "/admin/cronq/job/"


class Admin(TestCase):
    def setUp(self) -> None:
        self.failed = int(tasks.fail_twice.enqueue().id)
        self.printed = int(tasks.change_process.enqueue().id)
        run_tasks()
        self.waiting = int(tasks.mail.using(key="<script>").enqueue("ann & bob").id)

    def log_in(self, *permissions: str) -> None:
        """Log in as a member of the staff with these permissions."""
        user = User.objects.create_user("ann", password="x", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=permissions, content_type__app_label="cronq"))
        self.client.force_login(user)

    def state(self, job: int) -> str:
        return str(backend.store.jobs.get(job).state)

    def act(self, action: str, *jobs: int) -> str:
        answer = self.client.post(JOBS, {"action": action, "_selected_action": jobs}, follow=True)
        return str(answer.content.decode())

    def test_those_who_may_look_see_the_list_and_each_job(self) -> None:
        self.log_in("view_job")
        said = self.client.get(JOBS).content.decode()
        for text in ("shop.tasks.fail_twice", "shop.tasks.mail", "OwnError", "failed"):
            assert text in said, text
        assert "addlink" not in said
        only = self.client.get(f"{JOBS}?state=failed").content.decode()
        assert "shop.tasks.mail" not in only.partition('id="result_list"')[2].partition("</table>")[0]
        shown = self.client.get(f"{JOBS}{self.failed}/change/").content.decode()
        assert "Traceback" in shown
        assert "raise OwnError" in shown
        assert "failed for good" in shown
        quoted = self.client.get(f"{JOBS}{self.waiting}/change/").content.decode()
        assert "<script>" not in quoted.partition('class="field-key"')[2].partition("</div>")[0]

    def test_the_list_takes_no_more_queries_for_more_jobs(self) -> None:
        self.log_in("view_job")
        self.client.get(JOBS)
        with self.assertNumQueries(6):
            self.client.get(JOBS)
        backend.enqueue_many([(tasks.add, (1,), {})] * 50)
        with self.assertNumQueries(6):
            self.client.get(JOBS)

    def test_those_who_may_look_change_nothing(self) -> None:
        self.log_in("view_job")
        for action in ("retry", "cancel"):
            self.act(action, self.failed, self.waiting)
        assert (self.state(self.failed), self.state(self.waiting)) == ("failed", "ready")
        assert "Retry selected" not in self.client.get(JOBS).content.decode()

    def test_those_who_may_change_retry_and_cancel(self) -> None:
        self.log_in("view_job", "change_job")
        assert "1 retried; 1 not, because of their state" in self.act("retry", self.failed, self.waiting)
        assert self.state(self.failed) == "ready"
        assert "2 cancelled" in self.act("cancel", self.failed, self.waiting)
        assert (self.state(self.failed), self.state(self.waiting)) == ("cancelled", "cancelled")
        assert "by ann" in backend.store.jobs.get(self.waiting).error.message

    def test_a_retry_beside_an_unfinished_twin_is_refused_with_the_reason(self) -> None:
        self.log_in("view_job", "change_job")
        mail = tasks.mail.using(key="front", unique=True)
        ended = int(mail.enqueue("ann").id)
        self.act("cancel", ended)
        twin = int(mail.enqueue("ann").id)
        said = html.unescape(self.act("retry", ended, self.failed))
        assert f"ob {ended} can't be retried: job {twin} with the same unique key 'front' is unfinished" in said
        assert (self.state(ended), self.state(self.failed)) == ("cancelled", "failed")

    def test_rows_cannot_be_added_changed_or_deleted(self) -> None:
        self.log_in("view_job", "change_job", "add_job", "delete_job")
        assert self.client.get(f"{JOBS}add/").status_code == 403
        assert self.client.post(f"{JOBS}{self.failed}/delete/", {"post": "yes"}).status_code == 403
        self.client.post(f"{JOBS}{self.failed}/change/", {"task": "another", "state": "ready"})
        job = backend.store.jobs.get(self.failed)
        assert (job.task, job.state) == ("shop.tasks.fail_twice", "failed")
        assert (
            'type="submit"'
            not in self.client.get(f"{JOBS}{self.failed}/change/").content.decode().partition('id="content"')[2]
        )

    def test_without_a_permission_there_is_nothing(self) -> None:
        self.log_in()
        assert self.client.get(JOBS).status_code == 403
        assert self.client.get(f"{JOBS}{self.failed}/change/").status_code == 403
