"""Plane motions: translation, similarity, affine map and homography, fitted to local shifts.

All four are groups of 3x3 matrices that map pixel coordinates (x, y, 1). A fit finds the small motion that
explains shifts measured at points, each with its own 2x2 information matrix, and ignores the points that
move otherwise.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

MODELS = {"translation": 2, "similarity": 4, "affine": 6, "homography": 8}
"""Names and degrees of freedom, each a subset of the next."""

# Lens distortion, rolling shutter and parallax leave shifts of this size (pixels) that no plane motion
# explains, however exactly a single shift was measured.
_MODEL_ERROR = 0.1

_INLIER = 2.5  # standard deviations at which a point has a quarter of its weight left
_ROUNDS = 12


class Shifts(NamedTuple):
    """Local shifts between two pictures of one size.

    Attributes:
        points: (n, 2) float64 (x, y), where they were measured, pixels.
        shifts: (n, 2) float64 (dx, dy): what lies at ``points`` in the first picture lies at
            ``points + shifts`` in the second.
        information: (n, 2, 2) float64, the inverse covariance of each shift, pixels**-2; 0 = unknown.
    """

    points: np.ndarray
    shifts: np.ndarray
    information: np.ndarray

    def take(self, chosen: np.ndarray) -> Shifts:
        """Those of a (n,) bool mask or of indices."""
        return Shifts(*(part[chosen] for part in self))


def move(homography: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(n, 2) points (x, y) mapped by a 3x3 matrix: (n, 2)."""
    homogeneous = points @ homography[:, :2].T + homography[:, 2]
    return homogeneous[:, :2] / homogeneous[:, 2:]


def corners(size: tuple[int, int]) -> np.ndarray:
    """(4, 2) float64 (x, y): the corner pixels of a picture of (height, width)."""
    bottom, right = size[0] - 1.0, size[1] - 1.0
    return np.array([[0, 0], [right, 0], [right, bottom], [0, bottom]], dtype=np.float64)


def rescaled(homography: np.ndarray, scale: tuple[float, float]) -> np.ndarray:
    """The same motion for pictures enlarged by ``scale`` (in x, in y), whose pixels are areas."""
    enlarge = np.diag([*scale, 1.0])
    enlarge[:2, 2] = [(s - 1) / 2 for s in scale]
    return normalized(enlarge @ homography @ np.linalg.inv(enlarge))


def normalized(homography: np.ndarray) -> np.ndarray:
    """The same motion with 1 in the lower right corner."""
    return homography / homography[2, 2]


def with_model_error(information: np.ndarray, error: float = _MODEL_ERROR) -> np.ndarray:
    """``(information**-1 + error**2)**-1`` for (n, 2, 2) matrices, which may be singular."""
    values, vectors = np.linalg.eigh(information)
    values = np.maximum(values, 0.0)
    values = values / (1 + values * error**2)
    return np.einsum("nij,nj,nkj->nik", vectors, values, vectors)


def fit(model: str, found: Shifts, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The motion of a kind that most of the shifts follow.

    Iteratively reweighted least squares with Geman-McClure's weights, whose width starts at the spread of
    all shifts and shrinks to the measurement's (graduated non-convexity).

    Args:
        model: of :data:`MODELS`.
        found: the shifts; small against the picture (the homography is linearised).
        size: (height, width) of the picture, which sets the unit of the parameters.

    Returns:
        The 3x3 motion, points to ``points + shifts``, and the (n,) weights in [0, 1] that it ended with.
    """
    unit = max(size) / 2
    centre = np.array([size[1] - 1, size[0] - 1]) / 2
    basis = _basis((found.points - centre) / unit)[..., : MODELS[model]]  # (n, 2, k)
    information = with_model_error(found.information)
    weighted = np.einsum("nij,nik->njk", information, basis)  # information is symmetric
    normal = np.einsum("nij,nik->njk", basis, weighted)
    right = np.einsum("nik,ni->nk", weighted, found.shifts)
    # Keeps what the shifts do not determine at 0: a thousandth of one point's information.
    ridge = np.eye(MODELS[model]) * 1e-3
    parameters = np.zeros(MODELS[model])
    weights = np.ones(len(found.points))
    width = np.inf
    for step in range(_ROUNDS):
        parameters = np.linalg.solve(
            np.einsum("n,njk->jk", weights, normal) + ridge, np.einsum("n,nk->k", weights, right)
        )
        rest = found.shifts - basis @ parameters
        distance = np.einsum("ni,nij,nj->n", rest, information, rest)
        if step == 0:
            width = float(np.sqrt(max(np.quantile(distance, 0.9), 1.0)))
        width = max(width / 1.6, 1.0)
        weights = 1 / (1 + distance / (_INLIER * width) ** 2) ** 2
    return _matrix(parameters, centre, unit), weights


def _basis(points: np.ndarray) -> np.ndarray:
    """(n, 2, 8): how the shift of each normalised point depends on the parameters."""
    x, y = points.T
    zero, one = np.zeros_like(x), np.ones_like(x)
    along_x = [one, zero, x, -y, x, y, -x * x, -x * y]
    along_y = [zero, one, y, x, -y, x, -x * y, -y * y]
    return np.stack([np.stack(along_x, axis=-1), np.stack(along_y, axis=-1)], axis=1)


def _matrix(parameters: np.ndarray, centre: np.ndarray, unit: float) -> np.ndarray:
    """The 3x3 motion of pixels for parameters of :func:`_basis`, whose shifts are in pixels."""
    full = np.zeros(8)
    full[: len(parameters)] = parameters / unit
    tx, ty, scale, turn, stretch, shear, px, py = full
    small = np.array(
        [[scale + stretch, -turn + shear, tx], [turn + shear, scale - stretch, ty], [px, py, 0.0]]
    )
    to_unit = np.array([[1, 0, -centre[0]], [0, 1, -centre[1]], [0, 0, unit]])
    return normalized(np.linalg.inv(to_unit) @ (np.eye(3) + small) @ to_unit)
