"""Define the SQL statements as texts, one module for each subject; comments name the indexes that serve them."""
