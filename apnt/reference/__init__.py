"""The meaning of the ops in plain PyTorch: names and signatures of :mod:`apnt.ops`, no input checks."""

from apnt.reference.patch_swap import patch_swap
from apnt.reference.window_match import window_match

__all__ = ["patch_swap", "window_match"]
