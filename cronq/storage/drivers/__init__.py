"""The databases' own drivers: statements, transactions, lost connections, error codes."""
