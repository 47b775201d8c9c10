"""Define unmanaged models to read and show jobs and their attempts; only cronq's own statements change them."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.db import models

from cronq.times import to_datetime

_PREFIX = apps.get_app_config("cronq").table_prefix


class Job(models.Model):
    """A job; times are microseconds since 1970 in UTC, which `when` converts."""

    id = models.BigAutoField(primary_key=True)
    queue = models.CharField(max_length=255)
    task = models.CharField(max_length=255)
    state = models.CharField(max_length=16)
    priority = models.IntegerField()
    key = models.CharField(max_length=255, null=True, db_column="job_key")
    group = models.CharField(max_length=255, null=True, db_column="job_group")
    args = models.TextField()
    attempt = models.IntegerField()
    max_attempts = models.IntegerField()
    created_at = models.BigIntegerField()
    available_at = models.BigIntegerField()
    started_at = models.BigIntegerField(null=True)
    finished_at = models.BigIntegerField(null=True)
    worker = models.CharField(max_length=128, null=True)
    outcome = models.CharField(max_length=16, null=True)
    error_class = models.CharField(max_length=255, null=True)
    error_message = models.TextField(null=True)
    result = models.TextField(null=True)
    stdout = models.TextField(null=True)
    stderr = models.TextField(null=True)

    class Meta:
        """The table, which Django doesn't manage."""

        managed = False
        db_table = f"{_PREFIX}jobs"
        verbose_name = "job"

    def __str__(self) -> str:
        return f"{self.id} {self.task}"


class Attempt(models.Model):
    """A recorded attempt: one that did not succeed, or that was followed by a retry by hand."""

    id = models.BigAutoField(primary_key=True)
    job = models.ForeignKey(Job, on_delete=models.DO_NOTHING, db_constraint=False, related_name="attempts")
    number = models.IntegerField()
    outcome = models.CharField(max_length=16)
    started_at = models.BigIntegerField(null=True)
    finished_at = models.BigIntegerField(null=True)
    host = models.CharField(max_length=255, null=True)
    pid = models.IntegerField(null=True)
    error_class = models.CharField(max_length=255, null=True)
    error_message = models.TextField(null=True)
    traceback = models.TextField(null=True)

    class Meta:
        """The table, which Django doesn't manage."""

        managed = False
        db_table = f"{_PREFIX}attempts"
        ordering = ("id",)
        verbose_name = "attempt"

    def __str__(self) -> str:
        return f"{self.job_id}, attempt {self.number}"


def when(instant: int | None) -> Any:
    """Return an instant as an aware datetime in UTC, None for None."""
    return None if instant is None else to_datetime(instant)
