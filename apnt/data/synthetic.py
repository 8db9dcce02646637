"""Synthetic brackets from radiance maps: camera and object motion, sensor noise, quantisation, and the truth.

A radiance map is scaled so that a chosen share of the reference frame saturates. Objects cut from other maps
are pasted over it and move between the three exposures; the camera shifts and rotates a little. Each
exposure is then taken by a sensor with shot and read noise, and quantised. The truth is the noise-free
radiance of the reference frame, the middle one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import cv2
import numpy as np

from apnt.bracket import Bracket
from apnt.camera import GAMMA
from apnt.data.ranges import check_above_zero, check_between, check_not_negative, check_ranges
from apnt.errors import InputError

# Light is clipped at this multiple of the shortest exposure's saturation. No frame records more, and the
# interpolation would spread a sun of 3e5 over its neighbours.
_HEADROOM = 4.0
_REFERENCE = 1  # of three frames
_OTHERS = [0, 2]


class SensorNoise(NamedTuple):
    """Noise of one frame's linear signal x in [0, 1]: variance ``shot * x + read**2``."""

    shot: float
    read: float


@dataclass(frozen=True)
class BracketRecipe:
    """Random choices of a bracket; each pair is a range, sampled uniformly (noise and level: log-uniformly).

    Attributes:
        stops: exposure spacings to choose from, in stops between neighbouring exposures.
        saturated: share of background pixels that saturate in the reference frame.
        shot, read: :class:`SensorNoise` of all three frames.
        bits: bit depths to choose from.
        shift: largest camera translation of the other frames against the reference frame, pixels.
        rotation: largest camera rotation, degrees.
        camera: probability that the camera moves at all.
        objects: number of pasted objects.
        object_size: object radius as a share of the frame's shorter side.
        object_speed: object displacement between neighbouring frames, pixels.
        object_level: median of an object's brightest channel, relative to the reference frame's saturation.
        exposure_error: largest relative error of the other frames' exposure times, because shutters and
            apertures are not exact.
        jpeg: probability that the three frames are compressed as JPEG, at a quality from 85 to 98.

    Raises:
        InputError: a range whose ends are in the wrong order, a probability outside [0, 1], or another value
            out of its range.
    """

    stops: tuple[int, ...] = (2, 3)
    saturated: tuple[float, float] = (0.03, 0.25)
    shot: tuple[float, float] = (5e-5, 1e-3)
    read: tuple[float, float] = (3e-4, 3e-3)
    bits: tuple[int, ...] = (8, 16)
    shift: float = 16.0
    rotation: float = 0.5
    camera: float = 0.5
    objects: tuple[int, int] = (1, 3)
    object_size: tuple[float, float] = (0.08, 0.25)
    object_speed: tuple[float, float] = (2.0, 24.0)
    object_level: tuple[float, float] = (0.05, 3.0)
    exposure_error: float = 0.0
    jpeg: float = 0.0

    def __post_init__(self) -> None:
        pairs = ("saturated", "shot", "read", "objects", "object_size", "object_speed", "object_level")
        check_ranges(self, pairs)
        check_above_zero(self, ("shot", "read", "object_level"))  # drawn by their logarithms
        check_between(self, ("camera", "jpeg", "exposure_error", "saturated"), 1)
        check_not_negative(self, ("shift", "rotation"))
        if not self.stops or min(self.stops) < 1:
            raise InputError(f"stops must be spacings of at least 1 stop, got {self.stops}")
        if not self.bits or not set(self.bits) <= {8, 16}:
            raise InputError(f"bits must be of 8 and 16, got {self.bits}")

    @property
    def margin(self) -> int:
        """Pixels of background needed on each side of a frame of at most 1024 pixels."""
        return int(np.ceil(self.shift + np.deg2rad(self.rotation) * 724)) + 2


@dataclass(frozen=True, eq=False)
class SyntheticBracket(Bracket):
    """A bracket with known motion.

    Attributes:
        motion: (H, W, 2) float32 (dy, dx): where the content of each pixel of the reference frame is in the
            shortest exposure, relative to the pixel.
        visible: (H, W) bool: that position lies inside the frame, and no object hides it there.
        motion_long, visible_long: the same for the longest exposure; None where they were not made.
    """

    motion: np.ndarray = field(kw_only=True)
    visible: np.ndarray = field(kw_only=True)
    motion_long: np.ndarray | None = field(kw_only=True, default=None)
    visible_long: np.ndarray | None = field(kw_only=True, default=None)


def expose(
    radiance: np.ndarray, time: float, noise: SensorNoise, bits: int, rng: np.random.Generator
) -> np.ndarray:
    """Take one photograph: noise, clipping, gamma 2.2 and quantisation.

    Args:
        radiance: (H, W, 3) linear, 1 = saturation at ``time = 1``.
        time: exposure time relative to the shortest of the bracket.
        noise: of this frame's linear signal.
        bits: 8 or 16.
        rng: source of the noise.

    Returns:
        (H, W, 3) float32 display-referred in [0, 1], quantised to ``2**bits - 1`` steps.
    """
    signal = radiance * np.float32(time)
    sigma = np.sqrt(noise.shot * signal + noise.read**2)
    signal = np.clip(signal + sigma * rng.standard_normal(signal.shape, dtype=np.float32), 0.0, 1.0)
    steps = 2**bits - 1
    return (np.round(signal ** (1 / GAMMA) * steps) / steps).astype(np.float32)


def synthesize(
    background: np.ndarray,
    objects: list[np.ndarray],
    rng: np.random.Generator,
    recipe: BracketRecipe,
    name: str = "synthetic",
) -> SyntheticBracket:
    """Make one bracket.

    Args:
        background: (H + 2m, W + 2m, 3) linear radiance of any scale, where m is ``recipe.margin``.
        objects: radiance patches, each at least 8x8, from which moving objects are cut.
        rng: source of every random choice: the same state gives the same bracket.
        recipe: ranges of the choices.
        name: of the bracket.

    Returns:
        The bracket with truth, moving mask and motion; frames are H x W.

    Raises:
        InputError: the background is smaller than its margin allows or has no light.
    """
    m = recipe.margin
    height, width = background.shape[0] - 2 * m, background.shape[1] - 2 * m
    if height < 16 or width < 16:
        raise InputError(
            f"background must exceed its margin of {m} pixels a side by at least 16, "
            f"got {background.shape[:2]}"
        )
    spacing = int(rng.choice(recipe.stops))
    times = 2.0 ** (spacing * np.arange(3))
    share = rng.uniform(*recipe.saturated)
    level = float(np.quantile(background[m:-m, m:-m].max(axis=-1), 1 - share))
    if not level > 0:
        raise InputError("background must hold light, got an image whose brightest pixels are 0")
    # 1 / times[k] is the radiance at which exposure k saturates.
    canvas = np.minimum(background * np.float32(1 / (level * times[_REFERENCE])), _HEADROOM)

    cameras = [_camera(rng, recipe, height, width) for _ in _OTHERS]
    if rng.random() >= recipe.camera:
        cameras = [np.eye(3) for _ in _OTHERS]
    cameras.insert(_REFERENCE, np.eye(3))
    moving_objects = [
        _draw_object(rng, recipe, objects, (height, width), 1 / times[_REFERENCE])
        for _ in range(int(rng.integers(recipe.objects[0], recipe.objects[1] + 1)) if objects else 0)
    ]
    offset = np.array([[1, 0, m], [0, 1, m], [0, 0, 1]], dtype=np.float64)
    frames, covers = [], []
    for moment, camera in enumerate(cameras):
        # camera maps the reference frame's pixels to this frame's; the warp needs the inverse, to the canvas.
        warp = (offset @ np.linalg.inv(camera))[:2]
        frame = cv2.warpAffine(
            canvas, warp, (width, height), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REFLECT,
        )  # fmt: skip
        frame = np.clip(frame, 0.0, _HEADROOM)
        cover = np.zeros((height, width), dtype=np.int32)  # 0 = background, i + 1 = object i on top
        for index, moving_object in enumerate(moving_objects):
            alpha, texture = (
                moving_object.render(image, camera, moment, (height, width))
                for image in (moving_object.alpha, moving_object.texture)
            )
            frame = frame * (1 - alpha[..., None]) + texture * alpha[..., None]
            cover[alpha > 0.5] = index + 1
        frames.append(frame)
        covers.append(cover)

    noise = SensorNoise(_log_uniform(rng, recipe.shot), _log_uniform(rng, recipe.read))
    bits = int(rng.choice(recipe.bits))
    actual = times.copy()
    if recipe.exposure_error:
        actual[_OTHERS] *= 1 + rng.uniform(-recipe.exposure_error, recipe.exposure_error, size=2)
    ldr = np.stack([expose(f, float(t), noise, bits, rng) for f, t in zip(frames, actual, strict=True)])
    if recipe.jpeg and rng.random() < recipe.jpeg:
        ldr = np.stack([_compress_as_jpeg(frame, int(rng.integers(85, 99))) for frame in ldr])
    (motion, visible), (motion_long, visible_long) = (
        _motion(covers, moving_objects, cameras[k], k, (height, width)) for k in _OTHERS
    )
    moving = covers[_REFERENCE] > 0
    for moving_object in moving_objects:
        for moment in _OTHERS:
            alpha = moving_object.render(moving_object.alpha, np.eye(3), moment, (height, width))
            moving |= alpha > 0.5
    return SyntheticBracket(
        name=name,
        ldr=ldr,
        times=times,
        truth=np.clip(frames[_REFERENCE], 0.0, 1.0).astype(np.float32),
        moving=moving,
        motion=motion,
        visible=visible,
        motion_long=motion_long,
        visible_long=visible_long,
    )


def _compress_as_jpeg(ldr: np.ndarray, quality: int) -> np.ndarray:
    """(H, W, 3) in [0, 1], written as a JPEG file and read again."""
    picture = np.round(ldr[..., ::-1] * 255).astype(np.uint8)  # OpenCV's order is BGR
    _, code = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR), dtype=np.float32)[..., ::-1] / 255


class _Object(NamedTuple):
    """A textured blob: (h, w, 3) radiance, (h, w) alpha, and its centre (x, y) at the three moments."""

    texture: np.ndarray
    alpha: np.ndarray
    centres: np.ndarray

    def corner(self, camera: np.ndarray, moment: int) -> np.ndarray:
        """(2,) whole (x, y): the frame's upper left pixel in the object's pixels, as ``camera`` sees it."""
        half = np.array(self.alpha.shape[::-1]) / 2
        # Fractions of a pixel would blur the texture in one frame and not in the other.
        return np.round(half - (camera @ np.append(self.centres[moment], 1.0))[:2])

    def render(self, image: np.ndarray, camera: np.ndarray, moment: int, size: tuple[int, int]) -> np.ndarray:
        """``texture`` or ``alpha`` as ``camera`` sees it at ``moment``: (H, W, 3) or (H, W), 0 outside."""
        warp = np.column_stack([np.eye(2), self.corner(camera, moment)])
        flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(image, warp, size[::-1], flags=flags)


def _log_uniform(rng: np.random.Generator, bounds: tuple[float, float]) -> float:
    return float(np.exp(rng.uniform(np.log(bounds[0]), np.log(bounds[1]))))


def _camera(rng: np.random.Generator, recipe: BracketRecipe, height: int, width: int) -> np.ndarray:
    """(3, 3): reference pixel (x, y, 1) to this frame's. Half of all cameras only shift, by whole pixels."""
    shift = rng.uniform(-recipe.shift, recipe.shift, size=2)
    angle = np.deg2rad(rng.uniform(-recipe.rotation, recipe.rotation))
    if rng.random() < 0.5:
        shift, angle = np.round(shift), 0.0
    cos, sin = np.cos(angle), np.sin(angle)
    cx, cy = (width - 1) / 2, (height - 1) / 2
    return np.array(
        [
            [cos, -sin, cx - cos * cx + sin * cy + shift[0]],
            [sin, cos, cy - sin * cx - cos * cy + shift[1]],
            [0, 0, 1],
        ]
    )


def _draw_object(
    rng: np.random.Generator,
    recipe: BracketRecipe,
    patches: list[np.ndarray],
    size: tuple[int, int],
    saturation: float,
) -> _Object:
    """Cut a blob out of one patch, set its brightness, draw its positions at the three moments."""
    radius = rng.uniform(*recipe.object_size) * min(size)
    patch = patches[int(rng.integers(len(patches)))]
    side = min(int(2.6 * radius) + 2, *patch.shape[:2])
    y, x = (int(rng.integers(0, n - side + 1)) for n in patch.shape[:2])
    texture = patch[y : y + side, x : x + side]
    median = float(np.median(texture.max(axis=-1)))
    level = _log_uniform(rng, recipe.object_level) * saturation
    texture = np.clip(texture * np.float32(level / max(median, 1e-6)), 0.0, _HEADROOM).astype(np.float32)

    # A star-shaped outline: radius(angle) with a few harmonics, one pixel of soft edge.
    yy, xx = np.mgrid[:side, :side] - (side - 1) / 2
    angle, distance = np.arctan2(yy, xx), np.hypot(yy, xx)
    outline = np.full_like(angle, side / 2.6)
    for harmonic in range(2, 6):
        amplitude, phase = rng.uniform(0, 0.25 / harmonic), rng.uniform(0, 2 * np.pi)
        outline *= 1 + amplitude * np.cos(harmonic * angle + phase)
    alpha = np.clip(outline - distance + 0.5, 0.0, 1.0).astype(np.float32)

    height, width = size
    centre = np.array([rng.uniform(0.1, 0.9) * width, rng.uniform(0.1, 0.9) * height])
    speed, heading = rng.uniform(*recipe.object_speed), rng.uniform(0, 2 * np.pi)
    step = speed * np.array([np.cos(heading), np.sin(heading)])
    before, after = rng.uniform(0.7, 1.3, size=2)
    return _Object(texture, alpha, np.stack([centre - before * step, centre, centre + after * step]))


def _motion(
    covers: list[np.ndarray],
    moving_objects: list[_Object],
    camera: np.ndarray,
    moment: int,
    size: tuple[int, int],
) -> tuple[np.ndarray, np.ndarray]:
    """Motion (H, W, 2) from the reference frame to another, and visibility (H, W) there.

    Args:
        covers: (H, W) for each frame: which object is on top, from 1; 0 = background.
        moving_objects: in the order in which they were pasted.
        camera: of the other frame.
        moment: the other frame.
        size: (H, W).
    """
    height, width = size
    yy, xx = np.mgrid[:height, :width].astype(np.float64)
    target_x = camera[0, 0] * xx + camera[0, 1] * yy + camera[0, 2]
    target_y = camera[1, 0] * xx + camera[1, 1] * yy + camera[1, 2]
    for index, moving_object in enumerate(moving_objects):
        on = covers[_REFERENCE] == index + 1
        # Objects are rendered at whole pixels and do not rotate with the camera.
        step = moving_object.corner(np.eye(3), _REFERENCE) - moving_object.corner(camera, moment)
        target_x[on] = xx[on] + step[0]
        target_y[on] = yy[on] + step[1]
    column, row = np.round(target_x).astype(int), np.round(target_y).astype(int)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    found = covers[moment][np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)]
    visible = inside & (found == covers[_REFERENCE])
    return np.stack([target_y - yy, target_x - xx], axis=-1).astype(np.float32), visible
