"""Keep jobs in a database: drivers, statements, tables and migrations, one module per group of operations."""
