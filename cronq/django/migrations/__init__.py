"""The migrations of cronq's tables for Django: one for each revision that came since cronq knows Django."""
