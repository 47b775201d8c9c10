"""What protects the pages: each test fails without its check."""

from __future__ import annotations

import re

import pytest
from flask.testing import FlaskClient
from werkzeug.security import generate_password_hash

from cronq.config.loader import Config, from_database
from cronq.errors import ConfigError
from cronq.model.job import NewJob
from cronq.store import Store
from cronq.web.access import BasicAccess, HeaderAccess, HostAccess, TokenAccess
from cronq.web.masking import Masking
from cronq.web.pages import NAVIGATION
from cronq.web.settings import WebSettings, web_settings
from tests.web.conftest import Site, enqueued, make
from tests.web.test_changes import fail, token

PATHS = ("/", "/failures", "/jobs", "/queues", "/workers", "/schedules", "/batches", "/limits", "/audit")


def test_there_is_a_page_for_each_entry_of_the_menu() -> None:
    assert len(PATHS) == len(NAVIGATION)


def test_a_foreign_host_name_is_refused(site: Site) -> None:
    browser = site(hosts=("ops.example.org",))
    for path in PATHS:
        for name in ("evil.example", "localhost.evil.example:11180"):
            assert browser.get(path, headers={"Host": name}).status_code == 421, (path, name)
        for name in ("localhost:11180", "127.0.0.1", "[::1]:80", "ops.example.org", "OPS.example.org:443"):
            assert browser.get(path, headers={"Host": name}).status_code == 200, (path, name)


@pytest.mark.parametrize(
    "name", ["[", "[x]", "[::1", "evil@localhost", "localhost/x", "localhost:80:80", "localhost#", " "]
)
def test_a_host_name_that_is_none_is_refused(site: Site, name: str) -> None:
    assert site().get("/health", headers={"Host": name}).status_code == 421


@pytest.mark.parametrize("path", [*PATHS, "/jobs/1", "/static/cronq.css", "/nowhere"])
def test_no_other_site_can_frame_a_page_or_have_it_run_a_script(site: Site, path: str) -> None:
    with site().get(path) as answer:
        headers = answer.headers
    policy = headers["Content-Security-Policy"]
    assert sorted(policy.split("; ")) == [
        "base-uri 'none'",
        "connect-src 'self'",
        "default-src 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "img-src 'self'",
        "script-src 'self'",
        "style-src 'self'",
    ]
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert path.startswith("/static") or headers["Cache-Control"] == "private, no-cache"


def test_nothing_in_a_page_is_inline(site: Site, store: Store) -> None:
    enqueued(store, NewJob("add"))
    browser = site()
    for path in PATHS:
        text = browser.get(path).text
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\bon[a-z]+=", text), path


def test_without_the_token_nothing_is_shown(site: Site) -> None:
    access = TokenAccess("ann", "right")
    browser = site(access)
    for path in PATHS:
        assert browser.get(path).status_code == 403
    assert browser.get("/?token=wrong").status_code == 403
    assert browser.get("/").status_code == 403
    answer = browser.get("/jobs?token=right")
    assert answer.status_code == 302
    assert "token" not in answer.location
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert browser.get("/").status_code == 200
    assert site(access).get("/", headers={"Authorization": "Bearer right"}).status_code == 200
    assert site(access).get("/", headers={"Authorization": "Bearer wrong"}).status_code == 403


@pytest.mark.parametrize("path", ["/%2F%2Fevil.example", "/%5Cevil.example", "/jobs/%0d%0aX:y"])
def test_a_sign_in_leads_to_no_other_site(site: Site, path: str) -> None:
    answer = site(TokenAccess("ann", "right")).get(f"{path}?token=right")
    assert answer.status_code == 302
    assert re.fullmatch(r"/[\w%.:-][\w/%.:-]*", answer.location)


def test_a_cookie_that_the_server_did_not_sign_counts_for_nothing(site: Site) -> None:
    access = TokenAccess("ann", "right")
    signed = site(TokenAccess("ann", "right")).get("/?token=right").headers["Set-Cookie"]
    name, _, value = signed.partition(";")[0].partition("=")
    browser = site(access)
    browser.set_cookie(name, value)
    assert browser.get("/").status_code == 403


def test_passwords_are_asked_for_and_checked(site: Site) -> None:
    settings = WebSettings(auth="basic", users={"ann": generate_password_hash("pass", "scrypt:1024:8:1")}, act=("ann",))
    browser = site(BasicAccess(settings))
    refused = browser.get("/")
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"].startswith("Basic")
    for wrong in (("ann", "wrong"), ("eve", "pass"), ("ann", "")):
        assert browser.get("/", auth=wrong).status_code == 401
    assert browser.get("/", auth=("ann", "pass")).status_code == 200
    assert browser.get("/", auth=("ann", "wrong")).status_code == 401  # also once the right one is remembered


def test_a_header_counts_only_from_a_trusted_proxy(site: Site) -> None:
    browser = site(HeaderAccess(WebSettings(auth="header", proxies=("10.0.0.0/8",))))
    named = {"X-Remote-User": "ann"}
    assert browser.get("/", headers=named, environ_base={"REMOTE_ADDR": "10.1.2.3"}).status_code == 200
    assert browser.get("/", headers=named, environ_base={"REMOTE_ADDR": "192.0.2.1"}).status_code == 403
    assert browser.get("/", headers=named, environ_base={"REMOTE_ADDR": ""}).status_code == 403
    assert browser.get("/", environ_base={"REMOTE_ADDR": "10.1.2.3"}).status_code == 403


def test_the_word_unix_counts_for_the_unix_socket_only_and_only_where_it_stands(site: Site) -> None:
    named = {"X-Remote-User": "ann"}
    for bind, proxies, status in (
        ("127.0.0.1:1", ("unix",), 403),
        ("unix:/run/x", ("10.0.0.0/8",), 403),
        ("unix:/run/x", ("unix",), 200),
    ):
        browser = site(HeaderAccess(WebSettings(auth="header", bind=bind, proxies=proxies)))
        assert browser.get("/", headers=named, environ_base={"REMOTE_ADDR": "localhost"}).status_code == status


def test_who_is_not_in_act_may_only_view(site: Site) -> None:
    hashed = generate_password_hash("pass", "scrypt:1024:8:1")
    users = {"ann": hashed, "bob": hashed}
    basic = site(BasicAccess(WebSettings(auth="basic", users=users, act=("ann",))))
    proxied = site(HeaderAccess(WebSettings(auth="header", proxies=("127.0.0.1",), act=("ann",))))
    for name, read_only in (("ann", False), ("bob", True)):
        assert ("(read-only)" in basic.get("/jobs", auth=(name, "pass")).text) is read_only
        assert ("(read-only)" in proxied.get("/jobs", headers={"X-Remote-User": name}).text) is read_only


def test_a_form_that_is_too_long_is_refused(site: Site) -> None:
    assert site().post("/act/cancel", data={"csrf": "x" * 300_000}).status_code == 413


@pytest.mark.parametrize("bind", ["0.0.0.0:11180", "[::]:11180", "192.0.2.1:80", "ops.example.org:80"])
def test_other_hosts_are_not_let_in_without_a_password(config: Config, bind: str) -> None:
    with pytest.raises(ConfigError, match="without a password"):
        web_settings(config, bind=bind)
    for local in ("127.0.0.1:1", "[::1]:1", "localhost:1", "unix:/tmp/x"):
        assert web_settings(config, bind=local).is_local


@pytest.mark.parametrize("how", ["basic", "header"])
def test_a_sign_in_without_users_or_proxies_is_refused(config: Config, how: str) -> None:
    with pytest.raises(ConfigError):
        web_settings(config.with_values(web={"auth": how}), bind="0.0.0.0:80")


SCRIPT = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"


def filled(store: Store) -> list[int]:
    """Jobs with a script in every field that comes from outside, in several states."""
    jobs = [
        NewJob(SCRIPT, f'{{"{SCRIPT.replace(chr(34), "")}": "{SCRIPT.replace(chr(34), "")}"}}', SCRIPT[:90], key=SCRIPT,
               group=SCRIPT, event=SCRIPT),
        NewJob("command", '{"command": "echo ' + SCRIPT.replace('"', "") + '"}', "mail"),
    ]  # fmt: skip
    ids = enqueued(store, *jobs)
    database, names = store.tables.open(), store.tables.sql.names
    database.execute(
        f"UPDATE {names.jobs} SET error_class = ?, error_message = ?, stdout = ?, stderr = ?, worker = ?,"
        " host = ?, warnings = ?, result = ?, notes = ?, state = 'failed', finished_at = created_at, outcome = 'error'"
        " WHERE id = ?",
        (SCRIPT, SCRIPT, SCRIPT, SCRIPT, SCRIPT, SCRIPT, '["<script>w</script>"]', '"<script>r</script>"',
         '{"<script>n</script>": 1}', ids[0]),
    )  # fmt: skip
    database.execute(
        f"INSERT INTO {names.attempts} (job_id, number, outcome, error_class, error_message, traceback,"
        " stdout, stderr, host) VALUES (?, 1, 'error', ?, ?, ?, ?, ?, ?)",
        (ids[0], SCRIPT, SCRIPT, SCRIPT, SCRIPT, SCRIPT, SCRIPT),
    )
    store.admin.pause(SCRIPT[:90])
    return ids


def test_scripts_in_what_comes_from_a_job_are_text(site: Site, store: Store) -> None:
    ids = filled(store)
    browser = site()
    shown = 0
    for path in (
        *PATHS,
        *(f"/jobs/{one}" for one in ids),
        "/jobs?queue=%3Cscript%3E",
        "/jobs?search=%22%3E%3Cscript%3E",
    ):
        text = browser.get(path).text
        assert "<img" not in text, path
        assert not re.search(r"<script(?! src=\"/static/)", text), path
        shown += text.count("&lt;script&gt;")
    assert shown > 20


def test_an_error_does_not_look_like_a_command(site: Site, store: Store) -> None:
    fail(store, enqueued(store, NewJob("add `rm -rf /`")))
    assert "1 job of add `rm -rf /` failed for good" in site().get("/").text


def test_scripts_in_filters_questions_and_names_of_users_are_text(site: Site, store: Store) -> None:
    filled(store)
    browser = site(HostAccess(lambda _environ: (SCRIPT, "act")))
    texts = [
        browser.get("/jobs", query_string={name: SCRIPT}).text
        for name in ("state", "queue", "task", "group", "key", "error", "search", "since", "older_than", "id", "before")
    ]
    csrf = re.search(r'name="csrf" content="([^"]+)"', texts[1])
    assert csrf
    for verb, what in (("retry", "queue"), ("pause", "queue"), ("end", "worker"), (SCRIPT.replace("/", ""), "queue")):
        form = {"csrf": csrf[1], what: SCRIPT[:90], "count": "1"}
        texts.append(browser.post(f"/act/{verb}", data=form).text)
        texts.append(browser.post(f"/act/{verb}", data={**form, "confirmed": "yes"}, follow_redirects=True).text)
    texts += [browser.get(path).text for path in ("/audit", "/", "/jobs/1", f"/done/{SCRIPT[:20]}")]
    for text in texts:
        assert "<img" not in text
        assert not re.search(r"<script(?! src=\"/static/)", text)
    assert sum("&lt;script&gt;" in text for text in texts) > len(texts) - 3


def test_control_characters_are_shown_as_escapes(site: Site, store: Store) -> None:
    (job,) = enqueued(store, NewJob("add", '{"text": "a\\u202eb\\u001b[31m"}'))
    text = site().get(f"/jobs/{job}").text
    assert "\u202e" not in text
    assert "\x1b" not in text
    assert "\\u202e" in text


SECRETS = (
    NewJob(
        "send", '{"to": "ann", "api": {"Auth-Token": "tok-1"}, "password": "pass-2", "url": "ftp://u:pass-3@host/"}'
    ),
    NewJob("command", '{"command": ["curl", "--password", "pass-4", "--token=tok-5", "SECRET_KEY=sec-6", "x"]}'),
    NewJob("command", '{"command": "curl --password pass-7 --user bob"}'),
    NewJob("command", '{"command": "mysqldump mysql://u:pass-10@db/shop"}'),
)


def test_secrets_are_masked_in_pages_and_in_json(site: Site, store: Store) -> None:
    ids = enqueued(store, *SECRETS)
    store.tables.open().execute(
        f"UPDATE {store.tables.sql.names.jobs} SET state = 'finished', finished_at = created_at, result = ?, notes = ?"
        " WHERE id = ?",
        ('{"password": "pass-8"}', '{"token": "tok-9"}', ids[0]),
    )
    browser = site()
    for path in ("/jobs", *(f"/jobs/{one}" for one in ids)):
        for accept in ("text/html", "application/json"):
            text = browser.get(path, headers={"Accept": accept}).text
            assert not re.search(r"(pass|tok|sec)-\d", text), (path, accept)
    assert "ann" in browser.get(f"/jobs/{ids[0]}").text
    assert "bob" in browser.get(f"/jobs/{ids[2]}").text


def test_a_search_does_not_find_what_is_masked(site: Site, store: Store) -> None:
    enqueued(store, *SECRETS)
    browser = site()
    assert len(found(browser, "ann")) == 1
    assert len(found(browser, "curl")) == 2
    for secret in ("tok-1", "pass-2", "pass-3", "pass-4", "tok-5", "sec-6", "pass-7"):
        assert found(browser, secret) == []


def found(browser: FlaskClient, text: str) -> list[object]:
    """The jobs that a search finds."""
    answer = browser.get("/jobs", query_string={"search": text}, headers={"Accept": "application/json"})
    jobs: list[object] = answer.get_json()["jobs"]
    return jobs


def test_no_arguments_are_shown_where_nothing_is_to_be_shown(site: Site, store: Store) -> None:
    ids = enqueued(store, NewJob("add", '{"a": "seen-1"}'), NewJob("command", '{"command": "echo seen-2"}'))
    browser = site(show="nothing")
    for path in ("/jobs", "/", *(f"/jobs/{one}" for one in ids)):
        for accept in ("text/html", "application/json"):
            assert "seen-" not in browser.get(path, headers={"Accept": accept}).text
    assert found(browser, "seen-1") == []


def test_the_database_password_never_appears() -> None:
    browser = make(from_database("mysql+pymysql://ann:pass-8@127.0.0.1:1/jobs")).test_client()
    for path in ("/", "/jobs"):
        answer = browser.get(path)
        assert answer.status_code == 503
        assert "pass-8" not in answer.text


def nested(levels: int) -> str:
    return f'{{"deep": {"[" * levels}{"]" * levels}}}'


HOSTILE = (
    ("send", nested(400)), ("send", nested(900)), ("send", nested(5000)), ("send", '{"n": NaN, "m": Infinity}'),
    ("send", '{"\\ud800": "\\udfff", "nothing": "\\u0000"}'), ("send", f'{{"n": {"9" * 5000}}}'), ("send", '"x"'),
    ("send", "[1]"), ("send", "null"), ("send", '{"a'), ("command", '{"command": 5}'), ("command", nested(300)),
    ("command", f'{{"command": {"[" * 300}{"]" * 300}}}'), ("command", '{"command": ["a", "\\ud800", {}]}'),
)  # fmt: skip
"""Tasks with arguments that no program of cronq writes so."""


@pytest.mark.parametrize("accept", ["text/html", "application/json"])
def test_no_row_breaks_a_page(site: Site, store: Store, accept: str) -> None:
    ids = enqueued(store, *[NewJob(task, args) for task, args in HOSTILE])
    browser = site()
    for path in (*[f"/jobs/{one}" for one in ids], "/jobs", "/jobs?search=x", "/failures", "/"):
        answer = browser.get(path, headers={"Accept": accept})
        assert answer.status_code == 200, (path, answer.text[-500:])
    for page in ("jobs", "batches"):
        assert browser.get(f"/{page}/{2**63}", headers={"Accept": accept}).status_code == 404


def test_a_long_argument_is_masked_in_a_time_that_grows_with_its_length() -> None:
    masking = Masking(WebSettings())
    long = "a" * 300_000
    assert masking.value([long]) == [long]
    assert masking.command(long) == long
    assert (
        masking.value(f"{long} postgresql+psycopg://ann:pw@db/shop") == f"{long} postgresql+psycopg://ann:•••@db/shop"
    )


def test_a_long_address_and_hostile_filters_are_refused(site: Site) -> None:
    browser = site()
    assert browser.get("/" + "a" * 100_000).status_code == 404
    assert browser.get("/jobs?queue=" + "a" * 100_000).status_code == 422
    for filters in (
        "state=x",
        "id=1;2",
        "since=never",
        "before=-1",
        "before=x",
        "older_than=x",
        "queue=%00",
        "search=a%00",
        "id=" + "9" * 30,
    ):
        assert browser.get(f"/jobs?{filters}").status_code == 422
    assert browser.post("/act/cancel", data={"csrf": token(browser), "id": ",".join(["1"] * 80)}).status_code == 200
    assert browser.post("/act/cancel", data={"csrf": token(browser), "id": ["1"] * 10_001}).status_code == 422
    assert browser.get("/jobs/" + "9" * 30).status_code == 404
