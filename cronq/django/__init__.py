"""Use cronq in a Django project: a backend for its tasks, migrations, admin, `manage.py cronq` (extra `django`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cronq.django.backend import CronqBackend as CronqBackend

__all__ = ["CronqBackend"]


def __getattr__(name: str) -> Any:
    """Import the backend at its first use: INSTALLED_APPS imports this module before the apps are loaded."""
    if name == "CronqBackend":
        from cronq.django.backend import CronqBackend

        return CronqBackend
    raise AttributeError(name)
