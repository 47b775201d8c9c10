"""Bring the tables to revision 0016."""

from __future__ import annotations

from django.db import migrations

from cronq.django.tables import BringTables


class Migration(migrations.Migration):
    """Brings the tables to this revision."""

    dependencies = (("cronq", "0003_revision_0015"),)
    operations = (BringTables("0016"),)
