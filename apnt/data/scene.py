"""A scene of radiance with objects that move, photographed from moving cameras at sub-pixel precision.

Every frame is rendered at twice its size, by one cubic resampling of the radiance map, and averaged down. No
frame is therefore a copy of another, as no photograph is of another. What an object uncovers follows by
itself.

Coordinates (x, y) are pixels of the reference frame, (0, 0) its first pixel's centre.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

HEADROOM = 4.0
"""Light is clipped at this multiple of the shortest exposure's saturation: no frame records more, and the
interpolation would spread a sun of 3e5 over its neighbours."""

_DETAIL = 2  # rendered pixels per pixel of a frame, each way
_BLUR_STEP = 1.5  # pixels that an object may jump between two sub-moments of a blurred frame
_MOST_SUB_MOMENTS = 12
_RINGING = 1.4  # largest ratio of cubic to linear interpolation
# Frame pixels to rendered pixels and back: a frame's pixel covers 2 x 2 of them.
_MIDDLE = (1 / _DETAIL - 1) / 2
_TO_FRAME = np.array([[1 / _DETAIL, 0, _MIDDLE], [0, 1 / _DETAIL, _MIDDLE], [0, 0, 1]])


@dataclass(frozen=True)
class Ground:
    """The still part of a scene.

    Attributes:
        radiance: (h, w, 3) float32 linear; mirrored beyond its borders.
        zoom: pixels of ``radiance`` per pixel of a frame; at most 2, above which rendering would alias.
        corner: (x, y) in ``radiance`` of the reference frame's upper left corner, in its pixels.
    """

    radiance: np.ndarray
    zoom: float = 1.0
    corner: tuple[float, float] = (0.0, 0.0)

    @property
    def matrix(self) -> np.ndarray:
        """(3, 3): reference frame's (x, y, 1) to ``radiance``'s."""
        return np.array(
            [
                [self.zoom, 0, self.corner[0] + (self.zoom - 1) / 2],
                [0, self.zoom, self.corner[1] + (self.zoom - 1) / 2],
                [0, 0, 1],
            ]
        )


@dataclass(frozen=True)
class Motion:
    """How an object moves; moments are numbers, 0 = the reference frame's.

    Attributes:
        centre: (x, y) at moment 0, pixels.
        velocity: (x, y) pixels per moment.
        acceleration: (x, y) pixels per moment squared.
        spin: degrees per moment.
        growth: relative change of size per moment.
        bend: amplitude of a sine wave that runs through the object, as a share of its radius.
        wave: radians by which that wave advances per moment.
    """

    centre: tuple[float, float]
    velocity: tuple[float, float] = (0.0, 0.0)
    acceleration: tuple[float, float] = (0.0, 0.0)
    spin: float = 0.0
    growth: float = 0.0
    bend: float = 0.0
    wave: float = 0.0

    def position(self, moment: float) -> np.ndarray:
        """(2,) x, y of the centre."""
        c, v, a = (np.array(each) for each in (self.centre, self.velocity, self.acceleration))
        return np.asarray(c + v * moment + a * (moment * moment / 2))


@dataclass(frozen=True)
class MovingObject:
    """A textured blob.

    Attributes:
        layers: (s, s, 4) float32: radiance times coverage, and coverage in [0, 1].
        radius: pixels of a frame from the centre to the side of ``layers``.
        motion: of its centre and shape.
    """

    layers: np.ndarray
    radius: float
    motion: Motion

    def over(self, frame: np.ndarray, camera: np.ndarray, moment: float, shutter: float = 0.0) -> np.ndarray:
        """Paint the object over a frame in place.

        Args:
            frame: (H, W, 3) rendered pixels.
            camera: (3, 3) reference pixels (x, y, 1) to this frame's.
            moment: of the exposure's middle.
            shutter: moments during which the shutter is open: the object is averaged over them.

        Returns:
            (H, W) bool: the object covers more than half of the rendered pixel.
        """
        ends = [self.motion.position(moment + side * shutter / 2) for side in (-1, 1)]
        count = int(np.clip(np.ceil(np.hypot(*(ends[1] - ends[0])) / _BLUR_STEP), 1, _MOST_SUB_MOMENTS))
        moments = moment + shutter * ((np.arange(count) + 0.5) / count - 0.5)
        box = self._box(frame.shape[:2], camera, moments)
        cover = np.zeros(frame.shape[:2], bool)
        if box is None:
            return cover
        total = sum(self._seen(box, camera, float(each)) for each in moments) / np.float32(count)
        alpha = np.clip(total[..., 3:], 0.0, 1.0)
        x0, y0, x1, y1 = box
        frame[y0:y1, x0:x1] *= 1 - alpha
        frame[y0:y1, x0:x1] += np.maximum(total[..., :3], 0.0)
        cover[y0:y1, x0:x1] = alpha[..., 0] > 0.5
        return cover

    def _box(
        self, size: tuple[int, int], camera: np.ndarray, moments: np.ndarray
    ) -> tuple[int, int, int, int] | None:
        """x0, y0, x1, y1 of rendered pixels that the object can reach at these moments; None = none."""
        centres = np.stack([np.append(self.motion.position(float(each)), 1.0) for each in moments], axis=1)
        seen = np.linalg.inv(_TO_FRAME) @ camera @ centres
        seen = seen[:2] / seen[2]
        growth = 1 + abs(self.motion.growth) * float(np.abs(moments).max())
        # 1.45: a square turned by 45 degrees, and a little for the camera's own change of scale.
        reach = _DETAIL * self.radius * growth * (1.45 + self.motion.bend)
        x0, y0 = np.floor(np.maximum(seen.min(axis=1) - reach, 0)).astype(int)
        x1, y1 = np.ceil(np.minimum(seen.max(axis=1) + reach, size[::-1])).astype(int)
        return (x0, y0, x1, y1) if x1 > x0 and y1 > y0 else None

    def _seen(self, box: tuple[int, int, int, int], camera: np.ndarray, moment: float) -> np.ndarray:
        """(h, w, 4) ``layers`` at one moment, in a box of rendered pixels."""
        x0, y0, x1, y1 = box
        shift = np.array([[1, 0, x0], [0, 1, y0], [0, 0, 1]])
        matrix = self._pose(moment) @ np.linalg.inv(camera) @ _TO_FRAME @ shift
        if not self.motion.bend:
            flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
            return cv2.warpPerspective(self.layers, matrix, (x1 - x0, y1 - y0), flags=flags)
        x = np.arange(x1 - x0, dtype=np.float32)[None, :]
        y = np.arange(y1 - y0, dtype=np.float32)[:, None]
        u, v = transformed(matrix.astype(np.float32), (x, y))
        across, down = self._wave(u, v, moment)
        bent = u + across, v + down
        return cv2.remap(self.layers, *bent, cv2.INTER_CUBIC, borderMode=cv2.BORDER_CONSTANT)

    def _pose(self, moment: float) -> np.ndarray:
        """(3, 3): reference pixels (x, y, 1) to those of ``layers`` at a moment, but for the wave."""
        motion, (cx, cy) = self.motion, self.motion.position(moment)
        angle = np.deg2rad(-motion.spin * moment)
        texels = self.layers.shape[0] / (2 * self.radius) / (1 + motion.growth * moment)  # per pixel
        cos, sin, middle = texels * np.cos(angle), texels * np.sin(angle), (self.layers.shape[0] - 1) / 2
        return np.array(
            [
                [cos, -sin, middle - cos * cx + sin * cy],
                [sin, cos, middle - sin * cx - cos * cy],
                [0, 0, 1],
            ]
        )

    def _wave(self, u: np.ndarray, v: np.ndarray, moment: float) -> tuple[np.ndarray, np.ndarray]:
        """What the wave adds to pixels u, v of ``layers`` at a moment."""
        middle = (self.layers.shape[0] - 1) / 2
        amplitude, frequency = np.float32(self.motion.bend * middle), np.float32(np.pi / max(middle, 1.0))
        phase = np.float32(self.motion.wave * moment)
        return amplitude * np.sin(frequency * v + phase), amplitude * np.sin(frequency * u + 2 * phase)

    def texels(self, place: np.ndarray, moment: float) -> np.ndarray:
        """Pixels (x, y) of ``layers`` that lie at places (2, ...), reference pixels, at a moment."""
        u, v = transformed(self._pose(moment), place)
        across, down = self._wave(u, v, moment)
        return np.stack([u + across, v + down])

    def place(self, texels: np.ndarray, moment: float) -> np.ndarray:
        """Where pixels (2, ...) of ``layers`` lie at a moment: the inverse of :meth:`texels`."""
        u, v = texels
        for _ in range(8):  # contracts by pi times ``bend``
            across, down = self._wave(u, v, moment)
            u, v = texels[0] - across, texels[1] - down
        return transformed(np.linalg.inv(self._pose(moment)), np.stack([u, v]))


def blob(texture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Cut a star-shaped blob out of a texture.

    Args:
        texture: (s, s, 3) linear radiance.
        rng: draws the outline, a circle with a few harmonics.

    Returns:
        (s, s, 4) float32, the ``layers`` of a :class:`MovingObject`.
    """
    side = texture.shape[0]
    axis = np.arange(side, dtype=np.float32) - np.float32((side - 1) / 2)
    angle, distance = np.arctan2(axis[:, None], axis[None, :]), np.hypot(axis[:, None], axis[None, :])
    outline = np.full_like(angle, side / 2.7)
    for harmonic in range(2, 6):
        amplitude, phase = rng.uniform(0, 0.25 / harmonic), rng.uniform(0, 2 * np.pi)
        outline *= 1 + np.float32(amplitude) * np.cos(harmonic * angle + np.float32(phase))
    alpha = np.clip(np.minimum(outline, side / 2 - 1.5) - distance + 0.5, 0.0, 1.0)[..., None]
    return np.concatenate([texture * alpha, alpha], axis=-1, dtype=np.float32)


def photograph(
    ground: Ground,
    objects: Sequence[MovingObject],
    cameras: Sequence[np.ndarray],
    moments: Sequence[float],
    shutters: Sequence[float],
    size: tuple[int, int],
) -> tuple[np.ndarray, np.ndarray]:
    """The light that reaches the sensor in each frame.

    Args:
        ground: what is behind the objects, in [0, ``HEADROOM``].
        objects: later ones are in front.
        cameras: (3, 3) each: reference pixels (x, y, 1) to the frame's.
        moments, shutters: of each frame, see :class:`MovingObject`.
        size: H, W of the frames.

    Returns:
        (N, H, W, 3) float32 radiance in [0, ``HEADROOM``]; and (N, H, W) bool, where objects cover the frame.
    """
    rendered = (size[1] * _DETAIL, size[0] * _DETAIL)
    frames, covers = [], []
    for camera, moment, shutter in zip(cameras, moments, shutters, strict=True):
        matrix = ground.matrix @ np.linalg.inv(camera) @ _TO_FRAME
        frame, soft = (
            cv2.warpPerspective(
                ground.radiance, matrix, rendered, flags=kernel | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_REFLECT,
            )
            for kernel in (cv2.INTER_CUBIC, cv2.INTER_LINEAR)
        )  # fmt: skip
        # Beside a lamp the cubic kernel falls to 0, a dark ring that no lens makes.
        frame = np.clip(frame, soft * np.float32(1 / _RINGING), soft * np.float32(_RINGING))
        np.clip(frame, 0.0, HEADROOM, out=frame)
        cover = np.zeros(rendered[::-1], bool)
        for each in objects:
            cover |= each.over(frame, camera, moment, shutter)
        frames.append(np.clip(cv2.resize(frame, size[::-1], interpolation=cv2.INTER_AREA), 0.0, HEADROOM))
        shares = cv2.resize(cover.astype(np.float32), size[::-1], interpolation=cv2.INTER_AREA)
        covers.append(shares >= 0.5)
    return np.stack(frames), np.stack(covers)


def transformed(matrix: np.ndarray, place: np.ndarray | tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Places (2, ...), x and y, through a homography (3, 3)."""
    x, y = place
    depth = matrix[2, 0] * x + matrix[2, 1] * y + matrix[2, 2]
    return np.stack([(row[0] * x + row[1] * y + row[2]) / depth for row in matrix[:2]])


def known_motion(
    objects: Sequence[MovingObject],
    cameras: tuple[np.ndarray, np.ndarray],
    moments: tuple[float, float],
    size: tuple[int, int],
) -> tuple[np.ndarray, np.ndarray]:
    """Where what the pixels of one frame show lies in another one.

    Args:
        objects: of the scene, later ones in front.
        cameras, moments: of the two frames, as of :func:`photograph`.
        size: H, W of both.

    Returns:
        (H, W, 2) float32 (dy, dx) from each pixel of the first frame to the place in the second; and (H, W)
        bool, where that lies inside the second frame and the same thing is seen there.
    """
    here = np.mgrid[: size[0], : size[1]][::-1].astype(np.float64)
    place = transformed(np.linalg.inv(cameras[0]), here)
    shown = _on_top(objects, place, moments[0])
    there = place.copy()
    for number, each in enumerate(objects, 1):
        on = shown == number
        there[:, on] = each.place(each.texels(place[:, on], moments[0]), moments[1])
    hidden = shown != _on_top(objects, there, moments[1])
    target = transformed(cameras[1], there)
    inside = ((target >= 0) & (target <= np.array(size[::-1])[:, None, None] - 1)).all(axis=0)
    return np.stack([*(target - here)[::-1]], axis=-1).astype(np.float32), inside & ~hidden


def _on_top(objects: Sequence[MovingObject], place: np.ndarray, moment: float) -> np.ndarray:
    """(H, W) number, from 1, of the object seen at places (2, H, W), reference pixels; 0 = the ground."""
    shown = np.zeros(place.shape[1:], np.int64)
    for number, each in enumerate(objects, 1):
        u, v = each.texels(place, moment).astype(np.float32)
        cover = cv2.remap(each.layers[..., 3], u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        shown[cover > 0.5] = number
    return shown


def camera_motion(
    size: tuple[int, int],
    shift: tuple[float, float] = (0.0, 0.0),
    rotation: float = 0.0,
    scale: float = 1.0,
    tilt: tuple[float, float] = (0.0, 0.0),
) -> np.ndarray:
    """(3, 3) homography from the reference frame's pixels to another frame's.

    Args:
        size: H, W of the frames, about whose middle the camera turns.
        shift: (x, y) pixels.
        rotation: degrees.
        scale: of the picture.
        tilt: change of scale from the middle to the border along x and y: perspective.
    """
    cx, cy = (size[1] - 1) / 2, (size[0] - 1) / 2
    cos, sin = scale * np.cos(np.deg2rad(rotation)), scale * np.sin(np.deg2rad(rotation))
    middle = np.array([[1, 0, -cx], [0, 1, -cy], [0, 0, 1]])
    turn = np.array([[cos, -sin, shift[0]], [sin, cos, shift[1]], [0, 0, 1]])
    perspective = np.array([[1, 0, 0], [0, 1, 0], [tilt[0] / (cx + 1), tilt[1] / (cy + 1), 1]])
    return np.asarray(np.linalg.inv(middle) @ turn @ perspective @ middle)
