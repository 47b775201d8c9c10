"""cronq with its tables in PostgreSQL."""

from __future__ import annotations

from benchmarks.peers import cronq_mariadb


class Queue(cronq_mariadb.Queue):
    """As on MariaDB, through psycopg."""

    name = "cronq, PostgreSQL"
    server = "postgresql"
