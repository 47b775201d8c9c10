"""Show and change the queue in a browser, with the calls of the command line (extra `web`)."""

from cronq.web.mounting import asgi as asgi
from cronq.web.mounting import wsgi as wsgi
