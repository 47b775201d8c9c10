"""Make the tables of revision 0013, and the models that read them."""

from __future__ import annotations

from django.apps import apps
from django.db import migrations, models

from cronq.django.tables import BringTables

_PREFIX = apps.get_app_config("cronq").table_prefix


class Migration(migrations.Migration):
    """Makes the tables, or adds what is missing to those that exist."""

    initial = True
    dependencies = ()
    operations = (
        BringTables("0013"),
        migrations.CreateModel(
            name="Job",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("queue", models.CharField(max_length=255)),
                ("task", models.CharField(max_length=255)),
                ("state", models.CharField(max_length=16)),
                ("priority", models.IntegerField()),
                ("key", models.CharField(db_column="job_key", max_length=255, null=True)),
                ("group", models.CharField(db_column="job_group", max_length=255, null=True)),
                ("args", models.TextField()),
                ("attempt", models.IntegerField()),
                ("max_attempts", models.IntegerField()),
                ("created_at", models.BigIntegerField()),
                ("available_at", models.BigIntegerField()),
                ("started_at", models.BigIntegerField(null=True)),
                ("finished_at", models.BigIntegerField(null=True)),
                ("worker", models.CharField(max_length=128, null=True)),
                ("outcome", models.CharField(max_length=16, null=True)),
                ("error_class", models.CharField(max_length=255, null=True)),
                ("error_message", models.TextField(null=True)),
                ("result", models.TextField(null=True)),
                ("stdout", models.TextField(null=True)),
                ("stderr", models.TextField(null=True)),
            ],
            options={"verbose_name": "job", "db_table": f"{_PREFIX}jobs", "managed": False},
        ),
        migrations.CreateModel(
            name="Attempt",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "job",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=models.DO_NOTHING,
                        related_name="attempts",
                        to="cronq.job",
                    ),
                ),
                ("number", models.IntegerField()),
                ("outcome", models.CharField(max_length=16)),
                ("started_at", models.BigIntegerField(null=True)),
                ("finished_at", models.BigIntegerField(null=True)),
                ("host", models.CharField(max_length=255, null=True)),
                ("pid", models.IntegerField(null=True)),
                ("error_class", models.CharField(max_length=255, null=True)),
                ("error_message", models.TextField(null=True)),
                ("traceback", models.TextField(null=True)),
            ],
            options={
                "verbose_name": "attempt",
                "db_table": f"{_PREFIX}attempts",
                "ordering": ("id",),
                "managed": False,
            },
        ),
    )
