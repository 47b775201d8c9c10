"""Escape control characters in text from jobs, databases and clients, for terminals, logs and mails.

All output uses these functions: stdout and stderr, tables, the log, the system's log, notices, metrics.
"""

from __future__ import annotations

from itertools import chain

_CONTROLS = (
    *(code for code in range(0x20) if code not in (0x09, 0x0A)),
    *range(0x7F, 0xA0),  # DEL, and the one-byte forms of escape sequences
    *(0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)),  # change the direction of writing
    *(0x2028, 0x2029),  # end a line
    *(0xAD, 0x180E, 0x200B, *range(0x2060, 0x2066), *range(0x206A, 0x2070), 0xFEFF, *range(0xFFF9, 0xFFFC)),  # unseen
    *chain(range(0x1BCA0, 0x1BCA4), range(0x1D173, 0x1D17B), (0xE0001,), range(0xE0020, 0xE0080)),  # unseen too
)
"""The code points that are escaped; not U+200C and U+200D, which join or separate letters in names and emoji."""


def _escape(code: int) -> str:
    if code <= 0xFF:  # noqa: PLR2004
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004


def _json_escape(code: int) -> str:
    units = chr(code).encode("utf-16-be").hex()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))


_ESCAPES = {code: _escape(code) for code in _CONTROLS}
_LINE_ESCAPES = _ESCAPES | {ord("\n"): "\\n", ord("\r"): "\\r", ord("\t"): "\\t"}
_JSON_ESCAPES = {code: _json_escape(code) for code in _CONTROLS if code >= 0x7F}  # noqa: PLR2004 - DEL


def safe(text: str) -> str:
    """Escape control characters in a text; line feeds and tabs stay."""
    return _whole(text).translate(_ESCAPES)


def one_line(text: str) -> str:
    """Escape control characters, line breaks and tabs in a text, without the white space around it."""
    return _whole(text.strip()).translate(_LINE_ESCAPES)


def safe_json(document: str) -> str:
    """Escape the control characters that JSON allows in a JSON document."""
    return document.translate(_JSON_ESCAPES)


def _whole(text: str) -> str:
    """Escape lone surrogates, which UTF-8 can't encode; they come from file names that aren't UTF-8."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
