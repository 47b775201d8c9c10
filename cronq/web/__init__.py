"""`cronq web`: the calls of the command line, shown in a browser (extra `web`)."""

from cronq.web.mounting import asgi as asgi
from cronq.web.mounting import wsgi as wsgi
