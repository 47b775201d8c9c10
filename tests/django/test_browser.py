"""The admin in a real browser: list, filter, a job with its traceback, retry and cancel, all with the permission."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from daemons.databases import free_port
from tests.django.sites import Site, migrated
from tests.waiting import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.slow]

FILL = """
import datetime
from django.contrib.auth.models import Permission, User
from shop.tasks import *
User.objects.create_superuser("root", password="secret")
ann = User.objects.create_user("ann", password="secret", is_staff=True)
ann.user_permissions.add(Permission.objects.get(codename="view_job"))
print(fail_twice.enqueue().id)
print(mail.using(run_after=timezone.now() + datetime.timedelta(days=1)).enqueue("ann & <b>bob</b>").id)
"""


def listens(port: int) -> bool:
    """Whether something takes connections there."""
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Site, str]]:
    """A site under Django's own server, and its address."""
    site, port = migrated(tmp_path), free_port()
    site.python(FILL)
    for _ in range(2):
        site.cronq("run")
    server = site.programs.begin("manage.py", "runserver", "--noreload", "--insecure", port)
    try:
        wait_until(lambda: listens(port), seconds=60)
        yield site, f"http://127.0.0.1:{port}/admin/"
    finally:
        server.terminate()
        server.wait(timeout=60)


@pytest.fixture
def page() -> Iterator[Page]:
    """A page of Debian's Chromium."""
    from tests.web.browsing import PATIENCE, chromium

    with chromium() as browser:
        page = browser.new_page()
        page.set_default_timeout(PATIENCE)
        yield page


def log_in(page: Page, address: str, name: str) -> None:
    """As this user."""
    page.goto(f"{address}cronq/job/")
    page.fill("#id_username", name)
    page.fill("#id_password", "secret")
    page.click("input[type=submit]")
    page.wait_for_selector("#result_list")


def test_jobs_are_listed_shown_retried_and_cancelled(served: tuple[Site, str], page: Page) -> None:
    from playwright.sync_api import expect

    site, address = served
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    log_in(page, address, "ann")  # who has no permission to change anything
    expect(page.locator("#result_list tbody tr")).to_have_count(2)
    expect(page.locator("select[name=action]")).to_have_count(0)
    expect(page.locator(".addlink")).to_have_count(0)
    page.context.clear_cookies()
    log_in(page, address, "root")
    expect(page.locator("#result_list tbody tr")).to_have_count(2)
    page.click("#changelist-filter a:text-is('failed')")
    expect(page.locator("#result_list tbody tr")).to_have_count(1)
    page.click("#result_list tbody th a")
    expect(page.locator("#content")).to_contain_text("raise OwnError")
    expect(page.locator(".field-why")).to_contain_text("failed for good")
    expect(page.locator("#content input[type=submit]")).to_have_count(0)
    page.goto(f"{address}cronq/job/")
    act(page, "retry", "fail_twice")
    expect(page.locator(".messagelist")).to_contain_text("1 retried")
    act(page, "cancel", "mail")
    expect(page.locator(".messagelist")).to_contain_text("1 cancelled")
    retried = site.cronq("ls", "--state", "ready")
    assert retried.count("fail_twice") == 1
    assert "it was retried by root@" in (said := site.cronq("why", retried.split()[0]))
    assert "(web)" in said  # the admin's user, not the server's
    assert site.cronq("ls", "--state", "cancelled").count("shop.tasks.mail") == 1
    assert faults == []


def act(page: Page, action: str, task: str) -> None:
    """Choose a job and do something with it."""
    page.check(f"#result_list tbody tr:has-text('{task}') input.action-select")
    page.select_option("select[name=action]", action)
    page.click("button[name=index]")
