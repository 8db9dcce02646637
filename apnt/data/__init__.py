"""Brackets: what they are, where they come from, how synthetic ones are made."""

from apnt.bracket import Bracket
from apnt.data.captured import CapturedBrackets, open_dataset, read_scene
from apnt.data.layouts import LAYOUTS, Layout, Scene, find_scenes

__all__ = [
    "LAYOUTS",
    "Bracket",
    "CapturedBrackets",
    "Layout",
    "Scene",
    "find_scenes",
    "open_dataset",
    "read_scene",
]
