"""Django's migrations of cronq's tables: one for each revision since cronq supports Django."""
