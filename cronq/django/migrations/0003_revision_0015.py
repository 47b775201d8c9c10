"""Bring the tables to revision 0015."""

from __future__ import annotations

from django.db import migrations

from cronq.django.tables import BringTables


class Migration(migrations.Migration):
    """Brings the tables to this revision."""

    dependencies = (("cronq", "0002_revision_0014"),)
    operations = (BringTables("0015"),)
