"""Text that came from elsewhere, made safe to print; and lengths of time."""

from __future__ import annotations

import unicodedata

_LONGEST_REASON = 200  # characters


def printable(text: str) -> str:
    """Write out what steers a terminal or the direction of reading: ESC becomes ``\\x1b``; newlines stay.

    Args:
        text: any; names of files may hold every character, and bytes that are no text (surrogates).
    """
    return "".join(c if c in "\n\t" or not _steers(c) else _written(c) for c in text)


def reason(error: BaseException) -> str:
    """What an error of a library says, to end a sentence of ours: its first statement, printable and short.

    What follows is often advice for other programs, such as to load an untrusted file after all.
    """
    text = " ".join(str(error).split()).split(". ")[0].rstrip(".") or type(error).__name__
    return printable(text if len(text) <= _LONGEST_REASON else text[:_LONGEST_REASON] + "...")


def duration(seconds: float) -> str:
    """``"40 s"``, ``"2.5 min"``, ``"3.1 h"``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _steers(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")


def _written(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"
