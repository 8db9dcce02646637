"""One bracket: the exposures of a scene, by ascending exposure, and what is known about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from apnt.across import across
from apnt.camera import GAMMA, SATURATION
from apnt.errors import InputError

if TYPE_CHECKING:
    import torch

NAMES = {2: ("short", "long"), 3: ("short", "medium", "long")}
"""What the frames of small brackets are called."""


@dataclass(frozen=True, eq=False)
class Bracket:
    """N exposures of one size, by ascending exposure, and, where known, the truth at the reference frame.

    Attributes:
        name: what tables call it.
        ldr: (N, H, W, 3) float32, RGB, display-referred in [0, 1], by ascending exposure.
        times: (N,) float64 exposure times relative to the shortest, so ``times[0] == 1``.
        truth: (H, W, 3) float32 linear radiance in [0, 1], where 1 is the shortest exposure's
            saturation, at the reference frame's moment; None where unknown.
        moving: (H, W) bool, in the reference frame: pixels that an object covers in any of the frames
            and that moved relative to the camera's background; None where unknown.
        reference: the frame whose moment and geometry the result has; -1 becomes the middle one.
        order: where each frame stood in the input; empty becomes by ascending exposure.
        valid: (N, H, W) bool, False where a frame holds no data; None where all of it does.

    Raises:
        InputError: ``ldr``, ``times``, ``reference`` and ``valid`` that do not fit each other.
    """

    name: str
    ldr: np.ndarray
    times: np.ndarray
    truth: np.ndarray | None = None
    moving: np.ndarray | None = None
    reference: int = -1
    order: tuple[int, ...] = ()
    valid: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.ldr.ndim != 4 or self.ldr.shape[-1] != 3:
            raise InputError(f"ldr must have shape (N, H, W, 3), got {self.ldr.shape}")
        count = len(self.ldr)
        if self.times.shape != (count,):
            raise InputError(f"times must have shape ({count},), one a frame, got {self.times.shape}")
        if self.reference == -1:
            object.__setattr__(self, "reference", count // 2)
        elif not 0 <= self.reference < count:
            raise InputError(f"reference must be a frame from 0 to {count - 1}, got {self.reference}")
        if not self.order:
            object.__setattr__(self, "order", tuple(range(count)))
        if self.valid is not None and (
            self.valid.shape != self.ldr.shape[:3] or self.valid.dtype != np.dtype(bool)
        ):
            raise InputError(
                f"valid must be bool of shape {self.ldr.shape[:3]}, "
                f"got {self.valid.dtype} of shape {self.valid.shape}"
            )

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.ldr)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.ldr.shape[1], self.ldr.shape[2]

    @property
    def reference_frame(self) -> np.ndarray:
        """(H, W, 3), the display-referred frame whose moment and geometry the result has."""
        return self.ldr[self.reference]

    @property
    def frame_names(self) -> list[str]:
        """What tables and pictures call the frames: short, medium, long; of larger brackets 1st to Nth."""
        endings = {1: "st", 2: "nd", 3: "rd"}
        return list(NAMES.get(len(self), ())) or [
            f"{k}{endings.get(k, 'th')}" for k in range(1, len(self) + 1)
        ]

    @property
    def others(self) -> list[int]:
        """All frames but the reference, by ascending exposure."""
        return [k for k in range(len(self)) if k != self.reference]

    @property
    def saturated(self) -> np.ndarray:
        """(H, W) bool: any colour channel of the reference frame at or above ``SATURATION``."""
        return across(np.logical_or, self.reference_frame >= SATURATION)

    @property
    def radiance(self) -> np.ndarray:
        """The frames brought to one energy level, ``I_k**2.2 / tau_k`` (eq. 3): (N, H, W, 3) float32."""
        return self.ldr**GAMMA / self.times.astype(np.float32)[:, None, None, None]

    def tensors(self, device: torch.device | str = "cpu") -> tuple[torch.Tensor, torch.Tensor]:
        """What a network takes: (1, N, 3, H, W) display-referred frames and (1, N) times, both float32."""
        import torch  # here, so that reading photographs does not wait for it

        ldr = to_chw(self.ldr)[None]
        times = torch.from_numpy(self.times).float()[None]
        return ldr.to(device), times.to(device)


def to_chw(images: np.ndarray) -> torch.Tensor:
    """(..., H, W, C) with any strides to a contiguous (..., C, H, W) on the CPU."""
    import torch  # here, so that reading photographs does not wait for it

    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(images, -1, -3)))
