"""Text that came from elsewhere, made safe to print."""

from __future__ import annotations

import unicodedata


def printable(text: str) -> str:
    """Write out what steers a terminal or the direction of reading: ESC becomes ``\\x1b``; newlines stay.

    Args:
        text: any; names of files may hold every character, and bytes that are no text (surrogates).
    """
    return "".join(c if c in "\n\t" or not _steers(c) else _written(c) for c in text)


def _steers(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")


def _written(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"
