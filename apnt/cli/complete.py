"""What the shell offers for the values of options. Names are imported when it asks."""

from __future__ import annotations


def methods() -> list[str]:
    """Names of methods."""
    from apnt.methods.registry import METHODS

    return list(METHODS)


def looks() -> list[str]:
    """Names of looks."""
    from apnt.looks import LOOKS

    return list(LOOKS)


def weights() -> list[str]:
    """Names of packaged weights; files are the shell's own."""
    from apnt.packaged import packaged

    return sorted(packaged())


def metadata() -> list[str]:
    """Policies on metadata."""
    from apnt.io.kept import POLICIES

    return list(POLICIES)
