"""Text that came from elsewhere, made safe to print; lengths of time; and lists that may be long."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from typing import TypeVar

_LONGEST_REASON = 200  # characters
_SOME = 3  # of a list that is too long for a sentence

T = TypeVar("T")


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
    """``"4.2 s"``, ``"40 s"``, ``"2.5 min"``, ``"3.1 h"``: how every length of time is shown to people.

    Seconds below two minutes, minutes below two hours; nothing is ever written with an exponent.

    Args:
        seconds: finite, from 0 on.
    """
    # Compared as they are rounded: 119.6 s are 2.0 min and no 120 s.
    if round(seconds, 1) < 10:
        return f"{seconds:.1f} s"
    if round(seconds) < 120:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.1f} min" if round(minutes, 1) < 120 else f"{minutes / 60:.1f} h"


def counted(number: int, what: str) -> str:
    """``"1 bracket"``, ``"3 brackets"``.

    Args:
        number: from 0 on.
        what: a noun in the singular, to which an s makes the plural.
    """
    return f"{number} {what}{'' if number == 1 else 's'}"


def plain(number: float, digits: int) -> str:
    """A number to so many digits, without an exponent: ``1234.0`` to 3 is ``"1234"``, ``0.1234`` ``"0.123"``.

    Args:
        number: any; what is not finite is written as Python does.
        digits: from 1; of what is 10 ** digits or more, all digits before the point are kept.
    """
    if not math.isfinite(number):
        return f"{number}"
    rounded = float(f"{number:.{digits}g}")
    if number == 0 or rounded == 0:
        return "0"
    if abs(number) >= 10**digits:
        return f"{number:.0f}"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(rounded))))
    text = f"{rounded:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def shortened(items: Sequence[T], most: int = _SOME) -> tuple[list[T], str]:
    """The first of a list, and how many follow, in words.

    Args:
        items: any.
        most: how many are kept.

    Returns:
        At most ``most`` items, and ``"and 5 more"``, or ``""`` where none is left.
    """
    more = len(items) - most
    return list(items[:most]), f"and {more} more" if more > 0 else ""


def some(names: Sequence[object], most: int = _SOME, between: str = ", ") -> str:
    """``"a, b, c"``, and of more than ``most`` names ``"a, b, c and 5 more"``.

    Args:
        names: at least one.
        most: how many are named.
        between: what separates them.
    """
    kept, more = shortened(names, most)
    return between.join(map(str, kept)) + (f" {more}" if more else "")


def _steers(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")


def _written(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"
