"""A `cronq web` of its own for some tests, and Debian's Chromium to look at it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

from daemons import programs
from tests.frameworks import Programs

PATIENCE = 60_000
"""Milliseconds in which a page has what is expected of it, on a busy machine too; `expect` would wait for 5,000."""

expect.set_options(timeout=PATIENCE)


@contextmanager
def serving(database: Path, *options: str) -> Iterator[str]:
    """A server of the queue in this file; gives its address, with the token."""
    with started(database, *options) as (address, _):
        yield address


@contextmanager
def started(database: Path, *options: str, python: tuple[str, ...] = ("-m", "cronq")) -> Iterator[tuple[str, int]]:
    """The same, with the id of the server's process; `python` starts cronq in another way."""
    command = [*python, "--db", f"sqlite:///{database}", "web", "--bind", "127.0.0.1:0", *options]
    server = Programs(database.parent).start(*command)
    assert server.stdout is not None
    try:
        yield server.stdout.readline().strip(), server.pid
    finally:
        server.terminate()
        _, complaints = server.communicate(timeout=60)
        sys.stderr.write(complaints)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser without a window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(programs.chromium()), args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def viewer(browser: Browser, address: str, *, scripts: bool = True) -> Iterator[Page]:
    """A visitor who has opened the address."""
    context = browser.new_context(java_script_enabled=scripts)
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    page.goto(address)
    yield page
    context.close()
