"""The statements as text, by subject; each says which index serves it."""
