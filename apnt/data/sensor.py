"""From light to the values of a file, as a camera writes them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from apnt.camera import GAMMA
from apnt.data.synthetic import SensorNoise
from apnt.data.tone_curves import apply_curve


@dataclass(frozen=True, eq=False)
class Sensor:
    """A camera and its settings, the same for a bracket.

    Attributes:
        noise: of the linear signal.
        bits: of the file; a JPEG file has 8.
        curve: the camera's tone curve over gamma 2.2, as :func:`apnt.data.tone_curves.tone_curve` draws it;
            None = gamma 2.2 itself.
        jpeg: quality of the JPEG file, from 1 to 100; None = no loss but of ``bits``.
        full_colour: whether JPEG keeps the colour of every pixel, instead of that of four together.
    """

    noise: SensorNoise
    bits: int = 8
    curve: np.ndarray | None = None
    jpeg: int | None = None
    full_colour: bool = False

    def record(self, light: np.ndarray, gains: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Take one photograph.

        Args:
            light: (H, W, 3) linear radiance, 1 = saturation at a gain of 1.
            gains: (3,) exposure time relative to the shortest, times what white balance and shutter add.
            rng: source of the noise.

        Returns:
            (H, W, 3) float32 display-referred values in [0, 1], as in the file.
        """
        signal = light * gains.astype(np.float32)
        sigma = np.sqrt(np.float32(self.noise.shot) * signal + np.float32(self.noise.read**2))
        signal += sigma * rng.standard_normal(signal.shape, dtype=np.float32)
        values = np.clip(signal, 0.0, 1.0) ** np.float32(1 / GAMMA)
        if self.curve is not None:
            values = apply_curve(values, self.curve)
        if self.jpeg is not None:
            return as_jpeg(values, self.jpeg, self.full_colour)
        steps = np.float32(2**self.bits - 1)
        return np.round(values * steps) / steps


def as_jpeg(values: np.ndarray, quality: int, full_colour: bool = False) -> np.ndarray:
    """(H, W, 3) in [0, 1], written as a JPEG file and read again."""
    sampling = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444 if full_colour else cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420
    settings = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]
    picture = np.round(values[..., ::-1] * np.float32(255)).astype(np.uint8)  # OpenCV's order is BGR
    _, code = cv2.imencode(".jpg", picture, settings)
    read = np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR), dtype=np.float32)[..., ::-1]
    return np.ascontiguousarray(read) / np.float32(255)
