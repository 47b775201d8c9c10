"""Take the pictures of the web pages, light and dark, on a desk and on a phone: python -m screenshots.web [PAGE …]."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from daemons.programs import chromium
from screenshots.scene import CRONQ, Scene

FOLDER = Path(__file__).parent.parent / "docs" / "screenshots"
WIDTHS = (1280, 390)
SCHEMES = ("light", "dark")
TALLEST = 1600
SCHEDULES = """\
[schedules."report.daily"]
task = "stock.count"
cron = "30 2 * * *"
timezone = "Europe/Prague"
args = { shelf = 1 }
[schedules.backup]
command = "pg_dump shop | gzip > /backup/shop.gz"
every = "6h"
queue = "night"
[limits]
smtp = { concurrency = 5, rate = "100/1m" }
"warehouse:*" = 1
"""
PAGES = (
    "now",
    "failures",
    "jobs",
    "job",
    "question",
    "queues",
    "workers",
    "schedules",
    "batches",
    "batch",
    "limits",
    "limit",
    "audit",
)


def main(wanted: list[str]) -> None:
    """One scene, all pages."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="shop-") as directory, Scene(Path(directory) / "shop") as scene:
        set_up(scene)
        with serving(scene) as address, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=browser_program(), args=["--no-sandbox"])
            for width, scheme in product(WIDTHS, SCHEMES):
                shoot(browser, address, wanted or list(PAGES), (width, scheme), scene)
            browser.close()


def browser_program() -> Path:
    """Debian's browser."""
    found = chromium()
    if found is None:
        sys.exit("screenshots: chromium-headless-shell or chromium is needed")
    return found


def set_up(scene: Scene) -> None:
    """What an operator finds at night."""
    config = scene.directory / "cronq.toml"
    config.write_text(config.read_text() + SCHEDULES)
    scene.cronq("schedules", "sync")
    scene.cronq("schedules", "pause", "backup", "--reason", "the disk is full")
    scene.put({"command": "logrotate /etc/logrotate.conf", "queue": "night"})
    scene.cronq("pause", "night")
    scene.put_many(3)
    scene.cronq("cancel", "--queue", "bulk", "--yes")
    scene.cronq("cancel", *map(str, scene.put({"command": "./sync-shop", "queue": "sync", "at": "+2h"})), "--yes")
    set_up_flow(scene)


def set_up_flow(scene: Scene) -> None:
    """Batches in each state, and limits that are full or not."""
    done = scene.cronq("batch", "open", "newsletter")
    scene.put(*({"command": f"true {one}", "queue": "letters", "batch": int(done)} for one in range(12)))
    scene.cronq("run", "--queue", "letters")
    scene.cronq("batch", "close", done)
    scene.batch = int(scene.cronq("batch", "open", "import"))
    parts = [{"command": f"./load part{one}", "queue": "import", "batch": scene.batch} for one in range(1, 9)]
    scene.put(*({**one, "command": "exit 3", "max_attempts": 1} for one in parts[:2]))
    scene.put(*({**one, "command": "true"} for one in parts[2:5]))
    scene.cronq("run", "--queue", "import")
    scene.put(*parts[5:])
    scene.cronq("enqueue", "--queue", "import", "--after", f"batch:{scene.batch}", "--", "./publish")
    scene.cronq("batch", "open", "returns")
    scene.put(*({**_mail(one), "limit": "smtp"} for one in range(3)))
    scene.put(*({"command": f"./pick {one}", "queue": "store", "limit": "warehouse:brno"} for one in range(6)))


def _mail(number: int) -> dict[str, object]:
    return {"task": "mail.send", "args": {"to": f"eve{number}@example.org", "subject": "Your parcel"}}


@contextmanager
def serving(scene: Scene, *options: str) -> Iterator[str]:
    """The server; gives its address with the token."""
    command = [CRONQ, "web", "--bind", "127.0.0.1:0", *options]
    server = subprocess.Popen(
        command, cwd=scene.directory, env=scene.environment, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    assert server.stdout is not None
    try:
        yield server.stdout.readline().strip()
    finally:
        server.terminate()
        server.wait()
        server.stdout.close()


def shoot(browser: Browser, address: str, wanted: list[str], look: tuple[int, str], scene: Scene) -> None:
    """All pages in one width and scheme."""
    width, scheme = look
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(address)
    root = address.partition("?")[0]
    for name in wanted:
        reach(page, root, name, scene)
        tall = min(TALLEST, round(page.evaluate("document.body.getBoundingClientRect().height")))
        path = FOLDER / f"web-{name}-{scheme}-{width}.png"
        page.screenshot(path=path, clip={"x": 0, "y": 0, "width": width, "height": tall}, full_page=True)
        make_small(path)
        print(path.relative_to(FOLDER.parent.parent))
    context.close()


def make_small(picture: Path) -> None:
    """Store a picture with fewer colours, in a third of the bytes, where pngquant is there."""
    if (pngquant := shutil.which("pngquant")) is not None:
        subprocess.run([pngquant, "--force", "--skip-if-larger", "--output", picture, picture], check=False)


def reach(page: Page, root: str, name: str, scene: Scene) -> None:
    """Go to a page."""
    if name == "question":
        page.goto(f"{root}failures")
        page.get_by_role("button", name="Retry all").first.click()
    elif name == "batch":
        page.goto(f"{root}batches/{scene.batch}")
    elif name == "limit":
        page.goto(f"{root}limit?name=warehouse:brno")
    elif name == "job":
        page.goto(f"{root}jobs/{scene.bank}")
    else:
        page.goto(root + ("" if name == "now" else name))
    page.wait_for_load_state("networkidle")


if __name__ == "__main__":
    main(sys.argv[1:])
