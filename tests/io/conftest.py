"""Pictures and writers that several tests of the readers need."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

# XYZ to the camera's colours, as a DNG states it (ColorMatrix1, D65).
XYZ_TO_CAMERA = np.array([[0.8, -0.2, -0.05], [-0.45, 1.25, 0.2], [-0.08, 0.2, 0.6]])
SRGB_TO_XYZ = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750],
                        [0.0193339, 0.1191920, 0.9503041]])  # fmt: skip
LINEAR_RAW, MOSAIC = 34892, 32803


@pytest.fixture
def picture() -> np.ndarray:
    """(60, 84, 3) float64 in [0, 1]: smooth, without symmetry, every channel different, both ends reached."""
    y, x = np.mgrid[0:60, 0:84] / np.array([59, 83])[:, None, None]
    return np.stack([x, y**1.3, 0.5 + 0.5 * np.sin(3 * x + 2 * y)], axis=-1)


def rationals(values: object, scale: int = 10000) -> tuple[int, ...]:
    """Numerator and denominator in turn."""
    return tuple(n for v in np.ravel(np.asarray(values)) for n in (round(float(v) * scale), scale))


class Camera:
    """A sensor with known colours that writes DNG files.

    Attributes:
        neutral: what the sensor answers to white, relative to green.
    """

    black, white = 512, 15000
    neutral = (0.5, 1.0, 0.65)

    def sees(self, light: np.ndarray) -> np.ndarray:
        """(H, W, 3) linear sRGB to stored uint16, clipped at the white level."""
        to_camera = XYZ_TO_CAMERA @ SRGB_TO_XYZ
        to_camera /= to_camera.sum(axis=1, keepdims=True)
        sensor = np.clip(light @ to_camera.T * self.neutral, 0, 1)
        return np.round(self.black + sensor * (self.white - self.black)).astype(np.uint16)

    def write(self, path: Path, stored: np.ndarray, *, linear: bool, tags: tuple = ()) -> Path:
        """Write a linear DNG, or a mosaic one with red at the top left, of what ``sees`` gave."""
        planes = 3 if linear else 1
        common = [
            (50706, "B", 4, (1, 4, 0, 0), True),
            (50707, "B", 4, (1, 1, 0, 0), True),
            (50708, "s", 0, "Test", True),
            (50721, "2i", 9, rationals(XYZ_TO_CAMERA), True),
            (50778, "H", 1, 21, True),
            (50728, "2I", 3, rationals(self.neutral), True),
            (50714, "H", planes, (self.black,) * planes if linear else self.black, True),
            (50717, "H", planes, (self.white,) * planes if linear else self.white, True),
        ]
        if not linear:
            red, green, blue = np.moveaxis(stored, -1, 0)
            stored = green.copy()
            stored[::2, ::2], stored[1::2, 1::2] = red[::2, ::2], blue[1::2, 1::2]
            common += [(33421, "H", 2, (2, 2), True), (33422, "B", 4, (0, 1, 1, 2), True)]
        tifffile.imwrite(
            path,
            stored,
            photometric=LINEAR_RAW if linear else MOSAIC,
            planarconfig=1 if linear else None,
            metadata=None,
            extratags=[*common, *tags],
        )
        return path


@pytest.fixture
def camera() -> Camera:
    return Camera()
