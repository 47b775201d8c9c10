"""Serve the pages below a path of a Django project, for its staff: superusers act, other staff views.

The setting `CRONQ_WEB_AUTHORISE` names a function to replace `staff`: it receives the request, and returns `act`,
`view` or None. `CRONQ_QUEUE` names the Cronq object; without it, the configuration is found as by the command line.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.urls import re_path
from django.utils.module_loading import import_string
from django.views.decorators.csrf import csrf_exempt
from werkzeug.test import run_wsgi_app

from cronq.app import Cronq
from cronq.web.mounting import wsgi

if TYPE_CHECKING:
    from cronq.web.mounting import Wsgi

_VIEWER = "cronq.viewer"


def staff(request: HttpRequest) -> str | None:
    """Return `act` for superusers, `view` for other staff, None for all others."""
    user = request.user
    if not (user.is_authenticated and user.is_staff):
        return None
    return "act" if user.is_superuser else "view"


@cache
def _application() -> Wsgi:
    named = getattr(settings, "CRONQ_QUEUE", None)
    queue = import_string(named) if named else Cronq.from_config()
    return wsgi(queue, lambda environ: environ[_VIEWER], secret=settings.SECRET_KEY)  # type: ignore[arg-type,return-value]


@csrf_exempt  # the pages check a token of their own
def pages(request: HttpRequest, path: str) -> HttpResponse:
    """Answer with a page; redirect a user without access to the sign-in. Raises DisallowedHost."""
    request.get_host()  # checks ALLOWED_HOSTS: Django does so only in this call
    authorise = import_string(getattr(settings, "CRONQ_WEB_AUTHORISE", f"{__name__}.staff"))
    role = authorise(request)
    if role is None:
        return redirect_to_login(request.get_full_path())
    whole = request.path_info
    environ: dict[str, Any] = {
        **request.META,
        "SCRIPT_NAME": request.META.get("SCRIPT_NAME", "") + whole[: len(whole) - len(path)].rstrip("/"),
        "PATH_INFO": f"/{path}",
        "REQUEST_METHOD": request.method,
        "wsgi.input": request,
        "wsgi.url_scheme": request.scheme,
        _VIEWER: (request.user.get_username() or "web", role),
    }
    body, status, headers = run_wsgi_app(_application(), environ)
    answer = HttpResponse(b"".join(body), status=int(status.partition(" ")[0]))
    for name, value in headers:
        if name.lower() == "set-cookie":
            answer.cookies.load(value)
        elif name.lower() != "content-length":
            answer[name] = value
    return answer


urlpatterns = [re_path(r"^(?P<path>.*)$", pages)]
