"""Run `cronq web` for a test, and open it in Debian's Chromium."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

from daemons import programs
from tests.frameworks import Programs

PATIENCE = 60_000
"""Milliseconds within which a page must fulfil an expectation, on a busy machine too; the default is 5,000."""

expect.set_options(timeout=PATIENCE)


@contextmanager
def serving(database: Path, *options: str) -> Iterator[str]:
    """Run a server of the queue in this file; yield its URL with the token."""
    with started(database, *options) as (address, _):
        yield address


@contextmanager
def started(database: Path, *options: str, python: tuple[str, ...] = ("-m", "cronq")) -> Iterator[tuple[str, int]]:
    """Run a server of the queue in this file; yield its URL with the token, and its pid. `python` starts cronq."""
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
    """Yield a browser without a window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(programs.chromium()), args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def viewer(browser: Browser, address: str, *, scripts: bool = True) -> Iterator[Page]:
    """Open the address in a browser context of its own; yield the page."""
    context = browser.new_context(java_script_enabled=scripts)
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    page.goto(address)
    yield page
    context.close()
