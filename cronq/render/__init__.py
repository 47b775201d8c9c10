"""How it looks: text, tables, JSON, live screens."""
