"""From linear radiance to a picture for a display."""

from apnt.looks.rendering import HDR_LOOKS, LOOKS, check_look, render, render_with_gain
from apnt.looks.white_balance import check_white_balance

__all__ = ["HDR_LOOKS", "LOOKS", "check_look", "check_white_balance", "render", "render_with_gain"]
