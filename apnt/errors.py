"""The one exception type for input that a user can correct."""

from __future__ import annotations


class InputError(ValueError):
    """Input that cannot be used: the message names it, what it must be, and what it was."""
