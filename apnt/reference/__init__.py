"""The meaning of the ops in plain PyTorch: same names, same signatures as :mod:`apnt.ops`, no input checks."""

from apnt.reference.patch_swap import patch_swap
from apnt.reference.window_match import window_match

__all__ = ["patch_swap", "window_match"]
