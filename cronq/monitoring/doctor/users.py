"""Look up the names of users."""

from __future__ import annotations

import pwd


def name_of(uid: int) -> str:
    """Return the name of a user, or the uid as text if there is no such user."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
