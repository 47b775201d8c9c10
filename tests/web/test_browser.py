"""The pages in a real browser, with JavaScript and without it, by keyboard, and in lynx."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, Page, expect

from cronq.config.loader import Config
from cronq.model.batch import NewBatch
from cronq.model.job import NewJob
from cronq.model.limits import Bounds, Limit
from cronq.store import Store
from cronq.web.pages import COLUMNS
from tests import servers
from tests.waiting import wait_until
from tests.web.browsing import chromium, serving, viewer
from tests.web.conftest import enqueued
from tests.web.test_changes import fail, states
from tests.web.test_server import get

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.slow]
MAIN = ("", "jobs", "jobs/1")
PAGES = (
    *MAIN,
    "failures",
    "jobs?queue=mail&search=x",
    "queues",
    "workers",
    "schedules",
    "audit",
    "batches",
    "batches/1",
    "limits",
    "limit?name=smtp",
)
WIDTHS = (1280, 390)
TOO_WIDE = """[document.documentElement, ...document.querySelectorAll(".scroll")]
    .filter(one => one.scrollWidth > one.clientWidth + 1).map(one => one.outerHTML.slice(0, 200))"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for all tests."""
    with chromium() as opened:
        yield opened


@pytest.fixture
def address(config: Config, store: Store) -> Iterator[str]:
    """A queue with something of everything, and its pages."""
    mail = enqueued(store, *[NewJob("send", '{"to": "ann"}', "mail")] * 3, NewJob("add", queue="later"))
    fail(store, mail[:2])
    with serving(Path(config.sqlite_path() or "")) as found:
        wait_until(lambda: get(found, "/health") == 200, seconds=60, what="the first numbers")
        yield found


def root(address: str) -> str:
    return address.partition("?")[0]


def confirm(page: Page, button: str, question: str) -> None:
    """Press a button of a page, and the one that it asks with."""
    page.get_by_role("button", name=button, exact=True).first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(question)
    page.get_by_role("button", name=re.compile(question)).click()
    expect(page.get_by_role("status")).to_be_visible()


@pytest.mark.parametrize(
    "scripts", [pytest.param(True, marks=pytest.mark.thorough), False], ids=["with scripts", "without scripts"]
)
def test_each_change_is_done_in_a_browser(browser: Browser, address: str, store: Store, *, scripts: bool) -> None:
    with viewer(browser, address, scripts=scripts) as page:
        confirm(page, "Retry all", "Retry 2 jobs")
        assert set(states(store).values()) == {"ready"}
        page.goto(root(address) + "jobs/4")
        confirm(page, "Cancel", "Cancel job 4")
        assert states(store)[4] == "cancelled"
        page.goto(root(address) + "queues")
        page.get_by_role("row", name="mail").get_by_role("button", name="Pause").click()
        page.get_by_role("button", name="Pause queue mail").click()
        expect(page.get_by_role("status")).to_contain_text("Paused")
        assert store.jobs.paused() == {"mail"}
        page.goto(root(address))
        confirm(page, "Resume", "Resume queue mail")
        assert store.jobs.paused() == set()
        page.goto(root(address) + "jobs?queue=mail")
        confirm(page, "Cancel all that match", "Cancel 3 jobs")
        assert set(states(store).values()) == {"cancelled"}


@pytest.mark.parametrize(
    "scripts", [True, pytest.param(False, marks=pytest.mark.thorough)], ids=["with scripts", "without scripts"]
)
def test_batches_and_limits_are_changed_in_a_browser(
    browser: Browser, address: str, store: Store, *, scripts: bool
) -> None:
    batch = store.batches.open(NewBatch("import", jobs=[NewJob("load")])).id
    enqueued(store, *[NewJob("send", limit=Limit("smtp", "smtp", Bounds(1)))] * 2)
    with viewer(browser, address, scripts=scripts) as page:
        page.get_by_role("link", name="Batches", exact=True).click()
        page.get_by_role("link", name=f"{batch} (import)").click()
        confirm(page, "Close", f"Close batch {batch}")
        assert store.batches.require(batch).state == "running"
        page.goto(root(address) + f"batches/{batch}")
        confirm(page, "Cancel its jobs", "Cancel job 5")
        assert store.batches.require(batch).state == "cancelled"
        page.get_by_role("link", name="Limits", exact=True).click()
        page.get_by_role("link", name="smtp").click()
        page.get_by_label("At a time").fill("2")
        confirm(page, "Set", "Set limit smtp to 2")
        assert {states(store)[one] for one in (6, 7)} == {"ready"}
        page.goto(root(address) + "limits")
        confirm(page, "Reset", "Reset limit smtp")
        assert store.limit_reader.all()[0].bounds == Bounds(1)


def test_two_viewers_see_what_changes_without_loading_the_page_again_and_keep_the_focus(
    browser: Browser, address: str, store: Store
) -> None:
    with viewer(browser, address) as one, viewer(browser, address) as other:
        expect(one.get_by_text("failed for good").first).to_be_visible()
        link = one.get_by_role("link", name="later", exact=True)
        link.focus()
        store.admin.pause("later")
        for page in (one, other):
            expect(page.get_by_text("Queue later is paused by")).to_be_visible()
        expect(link).to_be_focused()
        confirm(other, "Resume", "Resume queue later")
        expect(one.get_by_text("Queue later is paused by")).to_be_hidden()


@pytest.fixture
def full(address: str, store: Store) -> str:
    """The same pages with a job in each state, a batch, a full limit and a paused queue."""
    ids = enqueued(store, *[NewJob("send", queue="deliveries")] * len(COLUMNS))
    for one, state in zip(ids, COLUMNS, strict=True):
        store.tables.open().execute(f"UPDATE {store.tables.sql.names.jobs} SET state = ? WHERE id = ?", (state, one))
    assert store.batches.open(NewBatch("import", jobs=[NewJob("load")])).id == 1
    enqueued(store, *[NewJob("send", limit=Limit("smtp", "smtp", Bounds(1)))] * 2)
    store.admin.pause("deliveries")
    return address


def test_each_page_fits_on_a_screen_and_the_browser_has_nothing_to_complain_of(browser: Browser, full: str) -> None:
    said: list[str] = []
    with viewer(browser, full) as page:
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        for path in PAGES:
            answer = page.goto(root(full) + path)
            assert answer is not None
            assert answer.status == 200, path
            for width in WIDTHS:
                page.set_viewport_size({"width": width, "height": 800})
                assert page.evaluate(TOO_WIDE) == [], (path, width)
            page.wait_for_load_state("networkidle")
        with page.expect_response(lambda answer: answer.url == page.url):  # the page loads itself again
            pass
    assert said == []


@pytest.mark.parametrize(
    "paths", [MAIN, pytest.param(PAGES[len(MAIN) :], marks=pytest.mark.thorough)], ids=["main pages", "other pages"]
)
def test_nothing_serious_is_wrong_for_people_who_see_or_move_little(
    browser: Browser, full: str, paths: tuple[str, ...]
) -> None:
    with viewer(browser, full) as page:
        for path in paths:
            page.goto(root(full) + path)
            assert serious(page) == [], path
        page.goto(root(full))
        page.get_by_role("button", name="Resume").first.click()
        assert serious(page) == []


def serious(page: Page) -> list[str]:
    """What axe finds on the page, and in dark colours again where it depends on them."""
    found: list[str] = []
    page.evaluate(AXE_SCRIPT)
    schemes: dict[Literal["light", "dark"], dict[str, object]] = {"light": {}, "dark": {"runOnly": ["color-contrast"]}}
    for scheme, rules in schemes.items():
        page.emulate_media(color_scheme=scheme)
        options = {"resultTypes": ["violations"]} | rules
        for one in page.evaluate("options => axe.run(options).then(found => found.violations)", options):
            if one["impact"] in ("serious", "critical", "moderate"):
                found += [f"{scheme}: {one['id']}: {node['html'][:200]}" for node in one["nodes"]]
    return found


def test_the_keyboard_is_enough_to_change_the_number_that_was_confirmed(
    browser: Browser, address: str, store: Store
) -> None:
    with viewer(browser, address) as page:
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to the page")).to_be_focused()
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        expect(page.get_by_role("button", name="Retry all").first).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_contain_text("Retry 2 jobs")
        fail(store, [3])
        button = page.get_by_role("button", name="Retry 2 jobs")
        for _ in range(30):
            page.keyboard.press("Tab")
            if button.evaluate("one => one === document.activeElement"):
                break
        page.keyboard.press("Enter")
        expect(page.get_by_role("status")).to_contain_text("2 of 2 retried")
    assert states(store) == {1: "ready", 2: "ready", 3: "failed", 4: "ready"}


@pytest.mark.needs("lynx")
def test_lynx_shows_the_first_pages(address: str) -> None:
    first = text_of(address)
    assert "What is wrong" in first
    assert "2 jobs of send failed for good" in first
    assert "OSError: no route" in text_of(address.replace("/?", "/failures?"))
    assert "mail" in text_of(address.replace("/?", "/jobs?"))


def text_of(address: str) -> str:
    """What a text browser shows."""
    command = [str(servers.program("lynx")), "-dump", "-nolist", "-accept_all_cookies", address]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
