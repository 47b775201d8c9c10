"""The snippets of docs/django.md, docs/flask.md and docs/fastapi.md, put together to projects, run as printed."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.cli.documents import blocks
from tests.frameworks import Programs
from tests.project import ROOT

pytestmark = pytest.mark.timeout(600)

FLASK_VIEW = """\
    @app.post("/orders")
    def order():
        return {"job": tasks.confirm.enqueue(7).id}
"""
FLASK_TEST = """\
import pytest
from shop import create_app

@pytest.fixture
def client():
    return create_app().test_client()

"""
DJANGO_SETTINGS = """\
from pathlib import Path
BASE_DIR = Path(__file__).parent
SECRET_KEY = "for tests"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "urls"
USE_TZ = True
TIME_ZONE = "UTC"
"""
DJANGO_URLS = """\
from django.http import HttpResponse
from django.urls import path
from shop.tasks import send_mail

def sign_up(request):
    return HttpResponse(send_mail.enqueue(to=request.POST["mail"], subject="hi").id)

urlpatterns = [path("sign-up", sign_up)]
"""
REPORT = """
@task
def report(region: str) -> None: ...
"""
DJANGO_PROGRAM = """\
import django
django.setup()
addresses = ["ann@example.org", "bob@example.org"]
"""


class DocumentedProject:
    """Files of one document in an empty directory."""

    def __init__(self, directory: Path, document: str) -> None:
        self.directory = directory
        self._texts = [block.text for block in blocks(ROOT / "docs" / document)]

    def snippet(self, holds: str) -> str:
        """The only block with this text."""
        (found,) = [text for text in self._texts if holds in text]
        return found

    def write(self, texts: dict[str, str]) -> None:
        """Write these files."""
        for name, text in texts.items():
            path = self.directory / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)

    def run(self, *arguments: str, **env: str) -> str:
        """Run Python in the directory, which must succeed; returns what it printed."""
        programs = Programs(self.directory, PYTHONPATH=f"{self.directory}:{ROOT}")
        return programs.done(*arguments, seconds=300, **env)

    def pytest(self, test: str) -> None:
        """Run a test of the project by itself."""
        self.write({"test_shop.py": test})
        options = ("-q", "-p", "no:cacheprovider", "-W", "ignore", "-c", os.devnull, "--rootdir", str(self.directory))
        assert "1 passed" in self.run("-m", "pytest", *options, "test_shop.py")


def test_flask(tmp_path: Path) -> None:
    project = DocumentedProject(tmp_path, "flask.md")
    made = project.snippet("def create_app").replace("    ...\n", FLASK_VIEW)
    project.write(
        {
            "shop/__init__.py": f"from flask import Flask\n{made}",
            "shop/extensions.py": project.snippet("queue = FlaskCronq()"),
            "shop/tasks.py": project.snippet("def confirm"),
            "cronq.toml": project.snippet("database ="),
        }
    )
    project.pytest(FLASK_TEST + project.snippet("def test_"))
    project.run("-m", "flask", "cronq", "update-schema", FLASK_APP="shop")
    project.run("-c", "from shop import create_app; create_app().test_client().post('/orders')")
    project.run("-m", "cronq", "run")
    assert "finished" in project.run("-m", "flask", "cronq", "ls", FLASK_APP="shop")


def test_fastapi(tmp_path: Path) -> None:
    project = DocumentedProject(tmp_path, "fastapi.md")
    program = project.snippet("def lifespan") + project.snippet("def resources")
    project.write({"shop.py": program, "cronq.toml": project.snippet("database =")})
    project.pytest(project.snippet("def test_"))
    project.run("-c", "import asyncio, shop; asyncio.run(shop.place(7))")
    project.run("-m", "cronq", "run")
    assert "confirmed order 7" in project.run("-m", "cronq", "show", "1")


def test_django(tmp_path: Path) -> None:
    project = DocumentedProject(tmp_path, "django.md")
    settings = project.snippet("INSTALLED_APPS").replace("...", '"shop"')
    if not find_spec("django.tasks"):
        settings = settings.replace('# "django_tasks",', '"django_tasks",  #')
    declared, used = project.snippet("def fetch").split("\n\n\n")
    moved = f"TASKS['default'] |= {{{project.snippet('orders.report').rstrip()}}}\n"
    weekly = project.snippet("def weekly")
    enqueued = project.snippet("result = send_mail") + project.snippet("enqueue_many")
    project.write(
        {
            "settings.py": f"{DJANGO_SETTINGS}{project.snippet('init_command')}{settings}{moved}",
            "urls.py": DJANGO_URLS,
            "shop/__init__.py": "",
            "shop/tasks.py": f"{_here(project.snippet('def send_mail'))}{declared}\n{weekly}{REPORT}",
            "shop/tests.py": project.snippet("run_tasks"),
            "program.py": f"{DJANGO_PROGRAM}{_here(enqueued)}from shop.tasks import fetch\n{used}",
        }
    )
    env = {"DJANGO_SETTINGS_MODULE": "settings"}
    project.run("-m", "django", "migrate", "-v0", **env)
    assert "no issues" in project.run("-m", "django", "check", "--database", "default", **env)
    assert project.run("-m", "django", "cronq", "schedules", "check", **env) == ""
    assert "02:30" in project.run("-m", "django", "cronq", "schedules", "next", "orders.report", **env)
    assert "06:00" in project.run("-m", "django", "cronq", "schedules", "next", "shop.tasks.weekly", **env)
    assert "OK" in project.run("-m", "django", "test", **env)
    project.run("program.py", **env)
    project.run("-m", "django", "cronq", "run", **env)
    assert project.run("-m", "django", "cronq", "ls", **env).count("finished") == 5


def _here(text: str) -> str:
    """Write the import as the snippet's comment says where Django has no tasks of its own."""
    return text if find_spec("django.tasks") else text.replace("from django.tasks ", "from django_tasks ")
