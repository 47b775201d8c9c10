"""The names of users."""

from __future__ import annotations

import pwd


def name_of(uid: int) -> str:
    """Return the user's name, or the number where there is no such user."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
