"""What differs from one database to the next: connecting, transactions, errors by code."""
