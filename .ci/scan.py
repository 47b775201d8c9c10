"""Scan a real `cronq web` with real data: schemathesis on its JSON, and wapiti, if installed, on its pages.

`make scan` passes the command of schemathesis. One server is scanned after the other: read-only, and with changes;
each must show nothing without the token. The exit status is 1 if something was found.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from screenshots.scene import Scene
from screenshots.web import serving, set_up

ROOT = Path(__file__).parent.parent
EXAMPLES = 25
"""Number of random requests for each path, besides those with the limits of each parameter."""

CRAWL, ATTACK = 60, 20
"""Seconds that wapiti may search for pages, and attack them with each module."""

MODULES = "xss,permanentxss,sql,exec,file,crlf,redirect,csp,http_headers,cookieflags"
EXPECTED = ("X-XSS-Protection", "Strict-Transport-Security", "Secure flag")
"""Ignored findings: no browser reads the first header any more; the others need TLS, which this server lacks."""

ROLES = {"read-only": ("--read-only",), "with changes": ()}

NUMBER, NAME = {"type": "integer", "minimum": 0, "maximum": 200}, {"type": "string", "maxLength": 60}
FILTERS = dict.fromkeys(("state", "queue", "task", "group", "key", "error", "since", "until", "search"), NAME)
PAGES: dict[str, tuple[str, dict[str, Any]]] = {
    "/": ("", {}),
    "/failures": ("errors", {}),
    "/jobs": ("", {**FILTERS, "older_than": NAME, "batch": NUMBER, "before": NUMBER}),
    "/jobs/{id}": ("", {}),
    "/queues": ("status", {}),
    "/workers": ("workers", {}),
    "/schedules": ("", {}),
    "/batches": ("batch-ls", {"before": NUMBER, "unended": {"enum": ["yes"]}}),
    "/batches/{id}": ("batch-show", {}),
    "/limits": ("limits", {}),
    "/limit": ("", {"name": {"enum": ["smtp", "warehouse:brno", "none", "'\"<x>"]}}),
    "/audit": ("", {"before": NUMBER}),
    "/done/{mark}": ("", {}),
}
"""By path, the name of its schema in docs/schemas, and its parameters."""

VERBS = (
    "retry", "cancel", "kill", "pause", "resume", "end", "pause-schedule", "resume-schedule", "run-schedule",
    "close-batch", "set-limit", "reset-limit", "destroy",
)  # fmt: skip
FORM = {
    **FILTERS, "id": NAME, "batch": NAME, "worker": NAME, "schedule": {"enum": ["backup", "none"]},
    "limit": {"enum": ["smtp", "none"]}, "places": NAME, "rate": {"enum": ["5/1s", "0/0s"]},
    "count": {"enum": ["1", "100", "x"]}, "confirmed": {"enum": ["yes", "no"]},
}  # fmt: skip
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,ignored_auth"


def main(schemathesis: str, roles: list[str]) -> int:
    """Make a queue and scan its pages in each role; return 1 if something was found."""
    with tempfile.TemporaryDirectory(prefix="scan-") as directory, Scene(Path(directory) / "shop") as scene:
        set_up(scene)
        found = [role for role in roles if scan(schemathesis, scene, role)]
    print(f"found something: {', '.join(found)}" if found else "nothing was found")
    return 1 if found else 0


def scan(schemathesis: str, scene: Scene, role: str) -> bool:
    """Scan one server; tell whether something was found."""
    with serving(scene, *ROLES[role]) as address:
        root, token = address.split("?token=")
        schema = scene.directory / "openapi.json"
        schema.write_text(json.dumps(document()))
        bearer = f"Authorization: Bearer {token}"
        fuzzed = subprocess.run(
            [schemathesis, "run", schema, "--url", root, "-H", bearer, "-H", "Accept: application/json",
             "--checks", CHECKS, "--max-examples", str(EXAMPLES), "--phases", "coverage,fuzzing", "--seed", "1",
             "--warnings", "off", "--request-timeout", "60", "--suppress-health-check", "all", "--no-color"],
            cwd=scene.directory, check=False,
        )  # fmt: skip
        return bool(fuzzed.returncode) | attack(root, bearer, scene.directory)


def attack(root: str, bearer: str, place: Path) -> bool:
    """Crawl the pages with wapiti, attack their URLs and forms; tell whether something was found."""
    wapiti = shutil.which("wapiti")
    if wapiti is None:
        print("no wapiti here: the pages are not scanned")
        return False
    report = place / "wapiti.json"
    command = [wapiti, "-u", root, "-H", bearer, "--scope", "folder", "--flush-session", "--no-bugreport", "-f", "json"]
    command += ["--store-session", str(place / "wapiti"), "-o", str(report), "-d", "2", "-m", MODULES]
    command += ["--max-scan-time", str(CRAWL), "--max-attack-time", str(ATTACK)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    told = json.loads(report.read_text())
    all_found = [one for several in (*told["vulnerabilities"].values(), *told["anomalies"].values()) for one in several]
    found = [one for one in all_found if not one["info"].startswith(EXPECTED)]
    for one in found:
        print(f"wapiti: {one['info']}: {one.get('http_request', '')}")
    return bool(found)


def document() -> dict[str, Any]:
    """Return a description of the JSON as OpenAPI, with the statuses that each path may answer with."""
    paths = {path: {"get": operation(schema, parameters(path, asked))} for path, (schema, asked) in PAGES.items()}
    form = {"schema": {"type": "object", "properties": FORM, "required": ["confirmed", "count"]}}
    act = operation("", [parameter("verb", "path", {"enum": VERBS})])
    paths["/act/{verb}"] = {"post": {**act, "requestBody": {"content": {"application/x-www-form-urlencoded": form}}}}
    return {
        "openapi": "3.0.3",
        "info": {"title": "cronq web", "version": "1"},
        "paths": paths,
        "security": [{"token": []}],
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
    }


def operation(schema: str, asked: list[dict[str, Any]]) -> dict[str, Any]:
    """Describe one page: it answers with a document, or with the reason why there is none."""
    good: dict[str, Any] = {}
    if schema:
        good = json.loads((ROOT / "docs" / "schemas" / f"{schema}.json").read_text())
        good.pop("$schema", None)
    refused = {"type": "object", "required": ["error", "status"]}
    answers = {"200": answer(good)} | {one: answer(refused) for one in ("403", "404", "405", "422")}
    return {"parameters": asked, "responses": answers}


def answer(schema: dict[str, Any]) -> dict[str, Any]:
    """Describe an answer in JSON."""
    return {"description": "JSON", "content": {"application/json": {"schema": schema}}}


def parameters(path: str, asked: dict[str, Any]) -> list[dict[str, Any]]:
    """Describe the parameters in the path, and those in the query."""
    found = [parameter("id", "path", NUMBER)] if "{id}" in path else []
    found += [parameter("mark", "path", {"type": "string", "minLength": 1})] if "{mark}" in path else []
    return found + [parameter(name, "query", schema) for name, schema in asked.items()]


def parameter(name: str, place: str, schema: dict[str, Any]) -> dict[str, Any]:
    """Describe one parameter."""
    return {"name": name, "in": place, "required": place == "path", "schema": schema}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:] or list(ROLES)))
