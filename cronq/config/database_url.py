"""Parse the database's URL as SQLAlchemy does, and show it without its password.

Each start reads a database URL, so this is done without `re`, `urllib` and SQLAlchemy.
"""

from __future__ import annotations

FAMILIES = {
    "sqlite": "sqlite",
    "mysql+pymysql": "mysql",
    "mysql": "mysql",
    "mariadb": "mysql",
    "mariadb+pymysql": "mysql",
    "postgresql": "postgresql",
    "postgresql+psycopg": "postgresql",
}
"""The database family of each allowed scheme."""

_FILES = frozenset({"sqlite"})
"""The families whose databases are files, without a server: only one host uses such a database."""

_PORTS = {"mysql": 3306, "postgresql": 5432}
_THIS_HOST = ("", "127.0.0.1", "[::1]", "::1")
_HIGHEST_PORT = 65535
_SHOWN_OPTIONS = frozenset(
    (
        *("name", "region", "endpoint", "user", "host", "port", "db", "charset", "application_name", "unix_socket"),
        *("target_session_attrs", "client_encoding", "connect_timeout", "read_timeout", "write_timeout"),
        *("prepare_threshold", "keepalives", "sslmode", "sslrootcert", "sslcert", "ssl_ca", "ssl_cert"),
        *("ssl_disabled", "ssl_verify_cert", "ssl_verify_identity"),
    )
)
"""Options that are shown, because they hold no secret; others may hold one."""


class DatabaseURL:
    """The parts of a database URL; its repr hides the password.

    User name, password and options are percent-decoded. `name` is the database's name, for a file its path as
    written. `host` may be empty.
    """

    __slots__ = ("family", "host", "is_file", "name", "password", "port", "query", "scheme", "username")

    def __init__(self, scheme: str, name: str) -> None:
        self.scheme = scheme
        self.family = FAMILIES[scheme]
        self.is_file = self.family in _FILES
        self.name = name
        self.username: str | None = None
        self.password: str | None = None
        self.host = ""
        self.port: int | None = None
        self.query: dict[str, str] = {}

    def __repr__(self) -> str:
        """Show scheme, host and name only."""
        return f"DatabaseURL({self.scheme}://{self.host}/{self.name})"

    def identity(self) -> str:
        """Return the same text for all URLs of one server database: family, host, port, name and schema."""
        host = self.query.get("unix_socket") or self.query.get("host") or self.host.lower()
        if host in _THIS_HOST:
            host = "localhost"
        return f"{self.family}://{host}:{self.port or _PORTS.get(self.family, 0)}/{self.name}{self._schema()}"

    def _schema(self) -> str:
        """Return the first schema in PostgreSQL's options, unless it is the default one."""
        options = self.query.get("options", "").replace("\\ ", "")
        for name in ("search_path=", "search-path="):
            if name in options:
                first = options.rpartition(name)[2].split()[0].partition(",")[0].strip("\"'")
                schema = f"{self.username}" if first == "$user" else first
                return "" if schema == "public" else f"/{schema}"
        return ""


def parse(url: str) -> DatabaseURL:
    """Parse the URL. Raises ValueError with a reason that never quotes a possible password."""
    scheme, separator, rest = url.partition("://")
    if not separator or not scheme.replace("+", "").isalnum():
        raise ValueError("that is not a URL")
    if scheme not in FAMILIES:
        raise ValueError(f"unknown scheme {scheme!r}{_meant(scheme)}, known are {', '.join(FAMILIES)}")
    if FAMILIES[scheme] in _FILES:
        return _file(scheme, rest)
    return _server(scheme, rest)


def file_scheme(url: str) -> str | None:
    """Return the part before the path in the URL of a file, `sqlite:///`; None for other texts."""
    scheme, separator, _ = url.partition(":///")
    return f"{scheme}{separator}" if separator and FAMILIES.get(scheme) in _FILES else None


def without_password(url: str) -> str:
    """Replace the password in a URL by ***, also in its options."""
    scheme, separator, rest = url.partition("://")
    access, at, place = rest.rpartition("@")
    user, colon, _ = access.partition(":")
    place, question, query = place.partition("?")
    shown = "&".join(_masked(option) for option in query.split("&"))
    return f"{scheme}{separator}{user}{colon}{'***' if colon else ''}{at}{place}{question}{shown}"


def decoded(text: str) -> str:
    """Decode %XX in a text."""
    first, *rest = text.encode("utf-8", "surrogateescape").split(b"%")
    return b"".join([first, *map(_byte, rest)]).decode("utf-8", "replace")


def _byte(part: bytes) -> bytes:
    digits = part[:2]
    if len(digits) < len("XX") or digits.strip(b"0123456789abcdefABCDEF"):
        return b"%" + part
    return bytes([int(digits, 16)]) + part[2:]


def _masked(option: str) -> str:
    key, equals, value = option.partition("=")
    shown = decoded(key).lower() in _SHOWN_OPTIONS and "@" not in decoded(value)
    return f"{key}{equals}{value if shown or not equals else '***'}"


def _meant(scheme: str) -> str:
    for known in FAMILIES:
        if known.startswith(scheme) or scheme.startswith(known):
            return f" (did you mean {known!r}?)"
    return ""


def _file(scheme: str, rest: str) -> DatabaseURL:
    if not rest.startswith("/") and rest:
        raise ValueError(f"a file needs three slashes, {scheme}:///relative.db, or four, {scheme}:////absolute.db")
    if "?" in rest:
        raise ValueError("for a file no ?options are taken, cronq sets its own")
    name = rest[1:]
    if name in ("", ":memory:"):
        raise ValueError("a queue in memory would be lost with the process, name a file")
    if name.endswith("/") or "\0" in name:
        raise ValueError("that is not the path of a file")
    return DatabaseURL(scheme, name)


def _server(scheme: str, rest: str) -> DatabaseURL:
    if rest.count("@") > 1:
        raise ValueError("an @ within user name, password or options is written %40")
    access, _, place = rest.rpartition("@")
    if "/" in access.partition(":")[0]:
        raise ValueError("a / within the user name is written %2F")
    address, query = _split(place, "?")
    address, name = _split(address, "/")
    if not name or "/" in name:
        raise ValueError("the name of the database is missing, as in mysql://user@host/name")
    url = DatabaseURL(scheme, name)
    url.username, url.password = _credentials(access)
    url.host, url.port = _host_and_port(address)
    url.query = _options(query)
    return url


def _split(text: str, mark: str) -> tuple[str, str]:
    before, _, after = text.partition(mark)
    return before, after


def _credentials(access: str) -> tuple[str | None, str | None]:
    user, colon, password = access.partition(":")
    return decoded(user) or None, decoded(password) if colon else None


def _host_and_port(address: str) -> tuple[str, int | None]:
    if address.startswith("["):
        host, _, port = address[1:].partition("]")
        port = port.removeprefix(":")
    else:
        host, port = _split(address, ":")
    if not host.isprintable() or " " in host:
        raise ValueError("the host name contains a space or control character")
    if not port:
        return host, None
    number = int(port) if port.isdecimal() and len(port) <= len(str(_HIGHEST_PORT)) else 0
    if not 0 < number <= _HIGHEST_PORT:
        raise ValueError(f"the port is not a number from 1 to {_HIGHEST_PORT}")
    return host, number


def _options(query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for option in query.split("&") if query else ():
        key, equals, value = option.partition("=")
        if not equals:
            raise ValueError("the options after ? are written name=value&name=value")
        key, value = decoded(key), decoded(value.replace("+", " "))
        options[key] = f"{options[key]},{value}" if key in options else value
    return options
