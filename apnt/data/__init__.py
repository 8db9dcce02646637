"""Brackets: what they are, where they come from, how synthetic ones are made."""

from apnt.data.bracket import SATURATION, Bracket

__all__ = ["SATURATION", "Bracket"]
