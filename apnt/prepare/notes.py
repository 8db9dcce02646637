"""What the readers corrected or doubt in each frame, as few sentences about all of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from apnt.io.photograph import Photograph

_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:%|(?= stops))")
_PLURAL = {"has": "have", "holds": "hold", "is": "are", "states": "state"}


def joined(photographs: Sequence[Photograph], kind: Literal["notes", "doubts"]) -> list[str]:
    """Sentences of all frames: of those that differ in their frame and in a number alone, one is made."""
    about: dict[str, dict[str, list[str]]] = {}  # sentence without its number -> frame -> the numbers
    for photograph in photographs:
        name, path = Path(photograph.name).name, photograph.name
        for note in getattr(photograph, kind):
            own = note.removeprefix(f"{path} ")
            if own == note:  # about several frames, which it names itself
                for other in photographs:
                    own = own.replace(other.name, Path(other.name).name)
                about.setdefault(own, {})
            else:
                numbers = about.setdefault(_NUMBER.sub("{}", own), {})
                numbers.setdefault(name, []).extend(_NUMBER.findall(own))
    return [_sentence(text, frames) for text, frames in about.items()]


def _sentence(text: str, frames: dict[str, list[str]]) -> str:
    if not frames:
        return text
    if len(frames) > 1:
        verb, _, rest = text.partition(" ")
        text = f"{_PLURAL.get(verb, verb)} {rest}"
    for values in zip(*frames.values(), strict=False):
        span = sorted(set(values), key=lambda number: float(number.rstrip("%")))
        text = text.replace("{}", span[0] if len(span) == 1 else f"{span[0]} to {span[-1]}", 1)
    return f"{', '.join(frames)} {text}"
