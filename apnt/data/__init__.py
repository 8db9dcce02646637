"""Brackets: read from data sets, or made from radiance maps."""

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
