"""Jobs in a database: drivers, SQL texts, tables and migrations, one module per group of operations."""
