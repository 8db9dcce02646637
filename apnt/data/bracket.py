"""One bracket: three exposures of a scene, short to long, and what is known about it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from apnt.camera import SATURATION


@dataclass(frozen=True)
class Bracket:
    """Three aligned-in-size exposures with, where known, the truth at the medium frame.

    Attributes:
        name: what tables call it.
        ldr: (3, H, W, 3) float32, RGB, display-referred in [0, 1], short to long.
        times: (3,) float64 exposure times relative to the shortest, so ``times[0] == 1``.
        truth: (H, W, 3) float32 linear radiance in [0, 1], where 1 is the short exposure's
            saturation, at the medium frame's moment; None where unknown.
        moving: (H, W) bool, in the medium frame: pixels that an object covers in any of the three frames
            and that moved relative to the camera's background; None where unknown.
    """

    name: str
    ldr: np.ndarray
    times: np.ndarray
    truth: np.ndarray | None = None
    moving: np.ndarray | None = None

    @property
    def saturated(self) -> np.ndarray:
        """(H, W) bool: any colour channel of the medium exposure at or above ``SATURATION``."""
        return (self.ldr[1] >= SATURATION).any(axis=-1)
