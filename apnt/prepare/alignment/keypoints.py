"""A first guess of the motion between two frames from key points, however far they are apart."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from apnt.prepare.alignment.blocks import Picture
from apnt.prepare.alignment.motion import normalized

_COUNT = 3000
_RATIO = 0.8  # Lowe (2004): nearest against second nearest descriptor
_THRESHOLD = 2.0  # pixels
_FEWEST = 12
_REACH = 0.25  # of the longer side: largest shift considered
_TURN = 15.0  # degrees, and
_ZOOM = 1.3  # times: what two frames of one bracket differ by at most


class KeyPoints(NamedTuple):
    """(n, 2) float32 points (x, y), (n,) sizes, (n,) angles in degrees, (n, 128) descriptors."""

    points: np.ndarray
    sizes: np.ndarray
    angles: np.ndarray
    descriptors: np.ndarray


def find_keypoints(picture: Picture) -> KeyPoints:
    """SIFT of the picture with its local contrast normalised, which is what survives a change of exposure.

    Where the picture is unknown (saturated, dark), it is flat.
    """
    cv = cv2.SIFT.create(nfeatures=_COUNT, contrastThreshold=0.02, edgeThreshold=15)
    found, descriptors = cv.detectAndCompute(_local_contrast(picture), None)
    if not found:  # OpenCV gives None for the descriptors then
        found, descriptors = (), np.zeros((0, 128), dtype=np.float32)
    return KeyPoints(
        np.array([p.pt for p in found], dtype=np.float32).reshape(-1, 2),
        np.array([p.size for p in found], dtype=np.float32),
        np.array([p.angle for p in found], dtype=np.float32),
        np.sqrt(descriptors / np.maximum(descriptors.sum(axis=1, keepdims=True), 1e-6)),  # RootSIFT
    )


def guesses(target: KeyPoints, frame: KeyPoints, size: tuple[int, int], most: int = 3) -> list[np.ndarray]:
    """Homographies from target pixels to frame pixels that many key points follow, most followed first.

    Each is sought among the key points that follow none before it: the first may be that of an object.

    Args:
        target, frame: key points of two pictures of one size.
        size: (height, width) of both.
        most: number of motions at most.
    """
    if min(len(target.points), len(frame.points)) < _FEWEST:
        return []
    nearest, distance = nearest_two(target.descriptors, frame.descriptors)
    here = np.flatnonzero(distance[0] < _RATIO * distance[1])
    there = nearest[0, here]
    left = _plausible(target, frame, here, there, _REACH * max(size))
    found: list[np.ndarray] = []
    while len(found) < most and left.sum() >= _FEWEST:
        homography, inliers = cv2.findHomography(
            target.points[here[left]], frame.points[there[left]], cv2.USAC_MAGSAC, _THRESHOLD,
            maxIters=5000, confidence=0.9999,
        )  # fmt: skip
        if homography is None or inliers.sum() < _FEWEST:
            break
        found.append(normalized(homography))
        left[np.flatnonzero(left)[inliers.ravel() > 0]] = False
    return found


def nearest_two(these: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(2, n) indices of the two of (m, d) ``others`` nearest to each of (n, d) ``these``, and how far.

    A matrix product ranks them, several times faster than differences; as distances it would be too rough.
    """
    closeness = these @ others.T - 0.5 * (others**2).sum(axis=1)
    first = closeness.argmax(axis=1)
    closeness[np.arange(len(these)), first] = -np.inf
    nearest = np.stack([first, closeness.argmax(axis=1)])
    return nearest, np.linalg.norm(these - others[nearest], axis=-1)


def _plausible(
    target: KeyPoints, frame: KeyPoints, here: np.ndarray, there: np.ndarray, reach: float
) -> np.ndarray:
    """(n,) bool: pairs whose shift, rotation and zoom are those of a bracket."""
    shift = np.abs(frame.points[there] - target.points[here]).max(axis=1, initial=0.0)
    turn = np.abs((frame.angles[there] - target.angles[here] + 180) % 360 - 180)
    zoom = np.abs(np.log(frame.sizes[there] / target.sizes[here]))
    return (shift < reach) & (turn < _TURN + 10) & (zoom < np.log(_ZOOM) + 0.2)


def _local_contrast(picture: Picture) -> np.ndarray:
    """(H, W) uint8: brightness minus its local mean over its local standard deviation."""
    known = picture.known.astype(np.float32)
    sigma = max(picture.size) / 80

    def local(plane: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(plane, (0, 0), sigma)

    share = local(known) + 1e-3
    grey = picture.grey - local(picture.grey * known) / share
    spread = np.sqrt(local(grey * grey * known) / share) + 0.008
    return np.clip(127.5 + 50 * grey / spread * known, 0, 255).astype(np.uint8)
