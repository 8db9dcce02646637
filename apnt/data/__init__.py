"""Brackets: what they are, where they come from, how synthetic ones are made."""

from apnt.data.bracket import Bracket

__all__ = ["Bracket"]
