"""What is assumed of a camera, everywhere: its tone curve and where it saturates."""

from __future__ import annotations

GAMMA = 2.2
"""Display-referred values are linear light to the power of ``1 / GAMMA`` (eq. 3)."""

SATURATION = 0.95
"""Display-referred value from which a channel counts as saturated."""
