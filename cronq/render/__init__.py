"""Write output as text, tables, JSON and live screens."""
