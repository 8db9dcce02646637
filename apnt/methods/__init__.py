"""Every way to fuse a bracket, by name: one file a method, the network among them.

Each is a function from a :class:`~apnt.bracket.Bracket` to an (H, W, 3) float32 image at the reference
frame's moment. None of them looks at the truth. docs/adding.md says how to add one.
"""

from apnt.methods.registry import DEFAULT, METHODS, Kind, Maps, Method, Options, check_method, load_method
from apnt.methods.several import load_methods

__all__ = [
    "DEFAULT",
    "METHODS",
    "Kind",
    "Maps",
    "Method",
    "Options",
    "check_method",
    "load_method",
    "load_methods",
]
