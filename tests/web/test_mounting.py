"""The pages inside other applications, and what monitors ask for."""

from __future__ import annotations

import re
from pathlib import Path

from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client

from cronq.config.loader import Config
from cronq.model.job import NewJob
from cronq.store import Store
from cronq.web import wsgi
from cronq.web.access import TokenAccess
from tests.frameworks import Programs
from tests.web.conftest import Site, enqueued


def nothing(_environ: object, start_response: object) -> list[bytes]:
    """The application around."""
    start_response("404 Not Found", [])  # type: ignore[operator]
    return [b""]


def test_the_pages_are_mounted_below_a_path_of_a_flask_application(config: Config, store: Store) -> None:
    enqueued(store, NewJob("add"))
    asked = []

    def authorise(environ: object) -> tuple[str, str]:
        asked.append(environ)
        return ("ann", "act")

    browser = Client(DispatcherMiddleware(nothing, {"/cronq": wsgi(config, authorise, secret="s")}))
    page = browser.get("/cronq/jobs")
    assert page.status_code == 200
    assert 'href="/cronq/jobs/1"' in page.text
    assert 'src="/cronq/static/' in page.text
    csrf = re.search(r'name="csrf" content="([^"]+)"', page.text)
    assert csrf
    given = {"csrf": csrf[1], "id": "1", "count": "1", "confirmed": "yes"}
    assert browser.post("/cronq/act/cancel", data=given).location.startswith("/cronq/done/")
    assert store.jobs.get(1).state == "cancelled"  # type: ignore[union-attr]
    assert asked


def test_processes_with_the_same_secret_take_each_others_forms(config: Config, store: Store) -> None:
    enqueued(store, NewJob("add"))
    one, other = (Client(wsgi(config, lambda _environ: "act", secret="s")) for _ in range(2))
    page = one.get("/jobs")
    csrf = re.search(r'name="csrf" content="([^"]+)"', page.text)
    assert csrf
    name, _, value = page.headers["Set-Cookie"].partition(";")[0].partition("=")
    other.set_cookie(name, value)
    given = {"csrf": csrf[1], "id": "1", "count": "1", "confirmed": "yes"}
    assert other.post("/act/cancel", data=given).status_code == 303


GUARDED = """\
import re

def check(ask, base, cookie):
    '''Try what other sites could; `ask(method, path, form, headers)` gives status, headers and text.'''
    status, headers, text = ask("GET", base + "/jobs", None, {{}})
    assert status == 200 and base + '/jobs/1"' in text, (status, text)
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"], headers
    assert headers["X-Frame-Options"] == "DENY", headers
    assert "HttpOnly" in cookie(headers) and "SameSite=Strict" in cookie(headers), headers
    csrf = re.search(r'name="csrf" content="([^"]+)"', text)[1]
    form = dict(csrf=csrf, id="1", count="1", confirmed="yes")
    for given, sent in (
        (dict(form, csrf=""), {{}}),
        (dict(form, csrf="x"), {{}}),
        (form, {{"Origin": "https://evil.example"}}),
        (form, {{"Sec-Fetch-Site": "cross-site"}}),
        (form, {{"Referer": "https://evil.example/"}}),
    ):
        status, _, text = ask("POST", base + "/act/cancel", given, sent)
        assert status == 403, (given, sent, text)
    assert ask("GET", base + "/act/cancel?id=1&count=1&confirmed=yes", None, {{}})[0] == 405
    assert ask("GET", base + "/jobs", None, {{"Host": "evil.example"}})[0] in (400, 421)
    assert ask("POST", base + "/act/cancel", form, {{"Origin": "http://testserver"}})[0] == 303

from cronq.config.loader import from_database
"""

FLASK = """\
from flask import Flask
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client
from cronq.web import wsgi

site = Flask("site")
config = from_database("sqlite:///{path}").with_values("the test", web=dict(hosts=["testserver"]))
browser = Client(DispatcherMiddleware(site.wsgi_app, {{"/cronq": wsgi(config, lambda environ: ("ann", "act"))}}))

def ask(method, path, form, headers):
    sent = dict(headers, Host=headers.get("Host", "testserver"))
    answer = browser.open(path, "http://testserver", method=method, data=form, headers=sent)
    return answer.status_code, answer.headers, answer.text

check(ask, "/cronq", lambda headers: headers["Set-Cookie"])
"""

FASTAPI = """\
from fastapi import FastAPI
from fastapi.testclient import TestClient
from cronq import Cronq
from cronq.web import asgi

config = from_database("sqlite:///{path}").with_values("the test", web=dict(hosts=["testserver"]))
app = FastAPI()
app.mount("/cronq", asgi(config, lambda environ: ("ann", "act")))
app.mount("/seen", asgi(Cronq("sqlite:///{path}"), lambda environ: ("ann", "view")))
browser = TestClient(app, follow_redirects=False)
assert browser.get("/seen/jobs").status_code == 200
assert "<button>Cancel" not in browser.get("/seen/jobs/1").text

def ask(method, path, form, headers):
    answer = browser.request(method, path, data=form, headers=headers)
    return answer.status_code, answer.headers, answer.text

check(ask, "/cronq", lambda headers: headers["Set-Cookie"])
"""

DJANGO_SITE = """\
import django
from django.conf import settings
settings.configure(
    SECRET_KEY="s", ALLOWED_HOSTS=["testserver"], ROOT_URLCONF="site_urls", CRONQ_QUEUE="site_urls.queue",
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"],
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware", "django.middleware.csrf.CsrfViewMiddleware",
                "django.contrib.auth.middleware.AuthenticationMiddleware"],
    DATABASES={{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}}}, USE_TZ=True,
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
)
import sys, types
urls = types.ModuleType("site_urls")
sys.modules["site_urls"] = urls
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from django.urls import include, path
from cronq import Cronq
urls.queue = Cronq("sqlite:///{path}")
urls.urlpatterns = [path("ops/cronq/", include("cronq.web.django.urls"))]
from django.contrib.auth.models import User
from django.test import Client
"""

DJANGO = (
    DJANGO_SITE
    + """
import re
browser = Client(enforce_csrf_checks=True)
answer = browser.get("/ops/cronq/jobs")
assert answer.status_code == 302 and "login" in answer["Location"], answer
browser.force_login(User.objects.create(username="eve"))
assert browser.get("/ops/cronq/jobs").status_code == 302
for name, role in (("bob", dict(is_staff=True)), ("ann", dict(is_staff=True, is_superuser=True))):
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(User.objects.create(username=name, **role))
    answer = browser.get("/ops/cronq/jobs")
    text = answer.content.decode()
    assert answer.status_code == 200 and '/ops/cronq/jobs/1"' in text, text
    assert answer["X-Frame-Options"] == "DENY"
    csrf = re.search(r'name="csrf" content="([^"]+)"', text)[1]
    given = dict(csrf=csrf, id="1", count="1", confirmed="yes")
    answer = browser.post("/ops/cronq/act/cancel", given)
    assert answer.status_code == (303 if name == "ann" else 403), answer.content
    assert browser.post("/ops/cronq/act/cancel", dict(given, csrf="x")).status_code == 403
answer = browser.get("/ops/cronq/audit").content.decode()
assert "ann@" in answer, answer
assert browser.get("/ops/cronq/").status_code == 200
"""
)

DJANGO_GUARDED = """
import logging
from urllib.parse import urlencode
logging.disable()
browser = Client(enforce_csrf_checks=True)
browser.force_login(User.objects.create(username="ann", is_staff=True, is_superuser=True))

def ask(method, path, form, headers):
    named = {{"HTTP_" + name.upper().replace("-", "_"): value for name, value in headers.items()}}
    named = {{"HTTP_HOST": "testserver", **named}}
    answer = browser.generic(
        method, path, urlencode(form or {{}}), content_type="application/x-www-form-urlencoded", **named
    )
    return answer.status_code, answer, answer.content.decode()

check(ask, "/ops/cronq", lambda answer: str(next(c for n, c in answer.cookies.items() if n.startswith("cronq_"))))
"""


def run(program: str, config: Config) -> None:
    """Run a program with the queue's path in it."""
    text = program.format(path=config.sqlite_path())
    Programs(Path(config.sqlite_path() or "").parent).done("-c", text)


def test_fastapi_mounts_the_pages_and_no_other_site_changes_anything(config: Config, store: Store) -> None:
    enqueued(store, NewJob("add"))
    run(GUARDED + FASTAPI, config)
    assert store.jobs.get(1).state == "cancelled"  # type: ignore[union-attr]


def test_no_other_site_changes_anything_in_flask(config: Config, store: Store) -> None:
    enqueued(store, NewJob("add"))
    run(GUARDED + FLASK, config)
    assert store.jobs.get(1).state == "cancelled"  # type: ignore[union-attr]


def test_django_serves_the_pages_to_its_staff(config: Config, store: Store) -> None:
    enqueued(store, NewJob("add"))
    run(DJANGO, config)


def test_no_other_site_changes_anything_in_django(config: Config, store: Store) -> None:
    enqueued(store, NewJob("add"))
    run(DJANGO_SITE + GUARDED + DJANGO_GUARDED, config)
    assert store.jobs.get(1).state == "cancelled"  # type: ignore[union-attr]


def test_prometheus_gets_what_the_command_prints_and_needs_the_token(site: Site, store: Store) -> None:
    enqueued(store, NewJob("add", queue="mail"))
    browser = site(TokenAccess("ann", "right"))
    assert browser.get("/metrics").status_code == 403
    answer = browser.get("/metrics", headers={"Authorization": "Bearer right"})
    assert answer.content_type.startswith("text/plain; version=0.0.4")
    assert 'cronq_jobs{queue="mail",state="ready"} 1' in answer.text


def test_a_probe_needs_no_token_and_learns_only_whether_the_database_answers(site: Site) -> None:
    answer = site(TokenAccess("ann", "right")).get("/health")
    assert (answer.status_code, answer.text) == (200, "ok\n")
