"""Why files that are there are not what the same command would write: which option differs, or what else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apnt.batch.plan import Bracket
from apnt.batch.settings import Settings

_OPTIONS = {"radiance": "--format", "picture": "--preview"}
"""Fields of settings whose options have other names."""

UNKNOWN = "made otherwise or of other frames"
"""What is said of files of which a journal says no more than that, or nothing."""


def made_of(bracket: Bracket, settings: Settings) -> dict[str, Any]:
    """What a journal keeps of a bracket that is begun, so that a later command can tell what differs."""
    return {"options": settings.identity, "said": settings.said, "frames": bracket.content}


def why_other(then: Mapping[str, Any] | None, bracket: Bracket, settings: Settings) -> str:
    """What differs between files that were written and those that are going to be.

    Args:
        then: the journal's last line on them, with :func:`made_of`; None where there is none.
        bracket, settings: of now.

    Returns:
        The end of a sentence on the files.
    """
    if then is None or not isinstance(then.get("options"), dict) or not isinstance(then.get("said"), dict):
        return UNKNOWN
    options = differences(then, settings)
    if options:
        return f"made with other options ({', '.join(options)})"
    if then.get("frames") != bracket.content:
        return "made of other frames, or exposures"
    return "changed since they were written" if then["key"] == bracket.key(settings) else UNKNOWN


def differences(then: Mapping[str, Any], settings: Settings) -> list[str]:
    """``["--look was local and is filmic"]``: each option that differs, what it was and what it is."""
    found = []
    for name, now in settings.identity.items():
        before = then["options"].get(name, getattr(Settings, name))
        if before == now:
            continue
        option = _OPTIONS.get(name, f"--{name.replace('_', '-')}")
        was, is_now = (
            _shown(said.get(name, value)) for said, value in ((then["said"], before), (settings.said, now))
        )
        if was == is_now:
            found.append(f"{option} {is_now} was another file")
        else:
            found.append(f"{option} was {was} and is {is_now}")
    return found


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return f"{value:g}"
    return "none" if value is None else str(value)
