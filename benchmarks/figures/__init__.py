"""The figures, a module for each kind. Each takes the number of rounds and gives lines for the table."""
