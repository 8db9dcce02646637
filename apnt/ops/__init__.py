"""The two operations the network is built on: search a window for a patch, and move patches."""

from apnt.ops.patch_swap import patch_swap
from apnt.ops.window_match import window_match

__all__ = ["patch_swap", "window_match"]
