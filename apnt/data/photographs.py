"""Training brackets like photographs that were prepared: what preparation leaves is simulated, not repeated.

Before the network sees photographs, their response was undone, their exposures corrected and their camera
motion compensated by a cubic resampling (:mod:`apnt.prepare`). Each step leaves an error. The brackets made
here have motion, noise, curves and compression of a camera, and errors of that size: cheap enough to be made
while the network trains.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from apnt.bracket import Bracket
from apnt.camera import GAMMA
from apnt.data.ranges import check_above_zero, check_between, check_not_negative, check_ranges
from apnt.data.scene import (
    HEADROOM,
    Ground,
    Motion,
    MovingObject,
    blob,
    camera_motion,
    known_motion,
    photograph,
)
from apnt.data.sensor import Sensor
from apnt.data.synthetic import SensorNoise, SyntheticBracket
from apnt.data.tone_curves import apply_curve, tone_curve, undo_curve
from apnt.errors import InputError

_REFERENCE = 1  # of three frames
_JPEG = (75, 95)  # qualities


@dataclass(frozen=True)
class PhotographRecipe:
    """Random choices of a bracket; each pair is a range, sampled uniformly, those of noise and level by their
    logarithms.

    Attributes:
        share: of the training brackets that are made by this recipe; the others by that of ``brackets``.
        spacing: stops between neighbouring exposures; every second bracket has two different ones.
        saturated: share of background pixels that saturate in the reference frame.
        burnt, burnt_saturated: probability of a bracket with that share from another range.
        shot, read: noise, see :class:`apnt.data.synthetic.SensorNoise`.
        bits: bit depths to choose from.
        jpeg: probability of JPEG files, of quality 75 to 95.
        curve, curve_strength: probability of a camera's tone curve, and its strength
            (:func:`apnt.data.tone_curves.tone_curve`).
        camera: probability that the camera moves.
        shift, rotation, scale, tilt: largest translation, pixels, rotation, degrees, and changes of scale.
        aligned: probability that a camera's motion was compensated; otherwise it is as small as a hand's.
        residual_shift: largest error of that compensation, pixels.
        residual_curve: strength of the error of the undone response.
        residual_exposure, residual_balance: largest relative error of exposure, and of a channel.
        exact: probability of a bracket without any of these four errors, as rendered or RAW files on a tripod
            leave it.
        objects: number of moving objects.
        object_size: radius as a share of the frame's shorter side.
        object_speed: displacement between neighbouring frames, pixels.
        fast, fast_speed: probability of an object with a speed from another range.
        object_level: median of an object's brightest channel, relative to the reference frame's saturation.
        spin, growth, bend: largest rotation, degrees, and changes of size and shape between two frames.
        blur: probability of motion blur, which grows with exposure time.

    Raises:
        InputError: a range whose ends are in the wrong order, a probability outside [0, 1], or another value
            out of its range.
    """

    share: float = 0.0
    spacing: tuple[float, float] = (1.0, 4.5)
    saturated: tuple[float, float] = (0.02, 0.3)
    burnt: float = 0.2
    burnt_saturated: tuple[float, float] = (0.3, 0.6)
    shot: tuple[float, float] = (2e-5, 8e-3)
    read: tuple[float, float] = (2e-4, 1e-2)
    bits: tuple[int, ...] = (8, 12, 16)
    jpeg: float = 0.35
    curve: float = 0.5
    curve_strength: float = 0.5
    camera: float = 0.85
    shift: float = 24.0
    rotation: float = 1.0
    scale: float = 0.01
    tilt: float = 0.004
    aligned: float = 0.85
    residual_shift: float = 0.4
    residual_curve: float = 0.02
    residual_exposure: float = 0.03
    residual_balance: float = 0.015
    exact: float = 0.0
    objects: tuple[int, int] = (1, 3)
    object_size: tuple[float, float] = (0.08, 0.25)
    object_speed: tuple[float, float] = (0.3, 24.0)
    fast: float = 0.15
    fast_speed: tuple[float, float] = (24.0, 64.0)
    object_level: tuple[float, float] = (0.03, 3.0)
    spin: float = 12.0
    growth: float = 0.06
    bend: float = 0.06
    blur: float = 0.3

    def __post_init__(self) -> None:
        pairs = (
            "spacing", "saturated", "burnt_saturated", "shot", "read", "objects", "object_size",
            "object_speed", "fast_speed", "object_level",
        )  # fmt: skip
        check_ranges(self, pairs)
        check_above_zero(self, ("spacing", "shot", "read", "object_size", "object_level"))
        shares = (
            "share", "saturated", "burnt", "burnt_saturated", "jpeg", "curve", "camera", "aligned", "fast",
            "blur", "exact",
        )  # fmt: skip
        check_between(self, shares, 1)
        check_between(self, ("curve_strength", "residual_curve"), 2)
        small = ("scale", "tilt", "residual_exposure", "residual_balance", "growth", "bend")
        check_between(self, small, 0.3)
        check_not_negative(self, ("shift", "rotation", "residual_shift", "spin"))
        if not self.bits or not set(self.bits) <= {8, 10, 12, 14, 16}:
            raise InputError(f"bits must be of 8, 10, 12, 14 and 16, got {self.bits}")


def prepared_photographs(
    ground: np.ndarray,
    textures: Sequence[np.ndarray],
    side: int,
    rng: np.random.Generator,
    recipe: PhotographRecipe,
    name: str = "photographs",
    *,
    motion: bool = False,
) -> Bracket:
    """Make one bracket of square frames.

    Args:
        ground: (h, w, 3) linear radiance of any scale, from which frames are cut.
        textures: radiance maps, at least 16 x 16 pixels, from which moving objects are cut.
        side: of a frame, pixels, at least 16.
        rng: source of every random choice: the same state gives the same bracket.
        recipe: ranges of the choices.
        name: of the bracket.
        motion: whether the motion is asked for.

    Returns:
        Three frames and times as preparation leaves them, with the clean light of the reference frame, the
        middle one, as truth, and the moving mask; with ``motion`` a
        :class:`apnt.data.synthetic.SyntheticBracket`.

    Raises:
        InputError: a side or a ground that is too small, or a ground without light.
    """
    if side < 16 or min(ground.shape[:2]) < 16:
        raise InputError(f"side and ground must be at least 16 pixels, got {side} and {ground.shape[:2]}")
    size = (side, side)
    if recipe.exact and rng.random() < recipe.exact:
        recipe = replace(recipe, residual_shift=0, residual_curve=0, residual_exposure=0, residual_balance=0)
    times = _times(rng, recipe)
    cut = _cut(ground, side, rng)
    burnt = rng.random() < recipe.burnt
    share = rng.uniform(*(recipe.burnt_saturated if burnt else recipe.saturated))
    level = float(np.quantile(cut.radiance.max(axis=-1), 1 - share))
    if not level > 0:
        raise InputError("ground must hold light, got an image whose brightest pixels are 0")
    radiance = np.minimum(cut.radiance * np.float32(1 / (level * times[_REFERENCE])), np.float32(HEADROOM))
    scene = Ground(radiance, cut.zoom, cut.corner)
    count = int(rng.integers(recipe.objects[0], recipe.objects[1] + 1)) if textures else 0
    objects = [_object(textures, side, 1 / times[_REFERENCE], rng, recipe) for _ in range(count)]
    cameras, aligned = _cameras(size, rng, recipe)
    moments = [-rng.uniform(0.7, 1.3), 0.0, rng.uniform(0.7, 1.3)]
    longest = rng.uniform(0.0, 0.6) if rng.random() < recipe.blur else 0.0
    light, covers = photograph(scene, objects, cameras, moments, longest * times / times[-1], size)

    sensor = _sensor(rng, recipe)
    gains = 1 + rng.uniform(-1, 1, (3, 1)) * recipe.residual_exposure
    gains = gains * (1 + rng.uniform(-1, 1, (3, 3)) * recipe.residual_balance)
    gains[_REFERENCE] = 1  # exposures and white balance are corrected towards the reference frame's
    residual = _residual_curves(rng, recipe)
    frames, valid = [], []
    for k, each in enumerate(light):
        written = sensor.record(each, times[k] * gains[k], rng)
        frame = written if sensor.curve is None else undo_curve(written, sensor.curve)
        if residual is not None:
            frame = np.stack([apply_curve(frame[..., c], residual[c]) for c in range(3)], axis=-1)
        frame, inside, cover, left = _compensated(frame, covers[k], cameras[k], aligned[k], rng, recipe)
        frames.append(frame)
        valid.append(inside)
        covers[k], cameras[k] = cover, left
    _fill(frames, valid, times)
    truth, moving = np.clip(light[_REFERENCE], 0.0, 1.0), np.asarray(covers.any(axis=0))
    if not motion:
        return Bracket(name, np.stack(frames), times, truth, moving)
    ways, seen = [], []
    for k in (0, 2):
        way, visible = known_motion(
            objects, (cameras[_REFERENCE], cameras[k]), (moments[_REFERENCE], moments[k]), size
        )
        ways.append(way)
        seen.append(visible & _at(valid[k], way))
    return SyntheticBracket(
        name, np.stack(frames), times, truth, moving,
        motion=ways[0], visible=seen[0], motion_long=ways[1], visible_long=seen[1],
    )  # fmt: skip


def _at(mask: np.ndarray, motion: np.ndarray) -> np.ndarray:
    """(H, W) bool: the mask (H, W) of another frame, where motion (H, W, 2) leads to."""
    height, width = mask.shape
    rows, columns = np.mgrid[:height, :width] + np.round(np.moveaxis(motion, -1, 0)).astype(int)
    return np.asarray(mask[rows.clip(0, height - 1), columns.clip(0, width - 1)])


def _times(rng: np.random.Generator, recipe: PhotographRecipe) -> np.ndarray:
    """(3,) relative exposure times; half of the spacings are whole, as people choose them."""
    spacings = rng.uniform(*recipe.spacing, size=2)
    if rng.random() < 0.5:
        spacings = np.clip(np.round(spacings), *recipe.spacing)
    if rng.random() < 0.5:
        spacings[1] = spacings[0]
    return np.asarray(2.0 ** np.concatenate([[0.0], np.cumsum(spacings)]))


def _cut(image: np.ndarray, side: int, rng: np.random.Generator) -> Ground:
    """A random part of a radiance map at a random scale, turned, mirrored, its channels shuffled.

    The part has a border around the frame, for cameras that move; beyond it, it is mirrored.
    """
    border = side // 8
    widest = min(image.shape[:2]) / (side + 2 * border)
    low, high = min(0.8, widest), min(1.8, widest)
    zoom = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    need = min(int(np.ceil((side + 2 * border) * zoom)), *image.shape[:2])
    y, x = (int(rng.integers(0, n - need + 1)) for n in image.shape[:2])
    part = _turned(image[y : y + need, x : x + need], rng)
    return Ground(part, zoom, (border * zoom, border * zoom))


def _turned(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Rotate by quarter turns, flip, and shuffle the colour channels."""
    image = np.rot90(image, int(rng.integers(4)))
    if rng.random() < 0.5:
        image = image[:, ::-1]
    return np.ascontiguousarray(image[..., rng.permutation(3)])


def _object(
    textures: Sequence[np.ndarray],
    side: int,
    saturation: float,
    rng: np.random.Generator,
    recipe: PhotographRecipe,
) -> MovingObject:
    """Cut a blob out of one texture, set its brightness, draw its motion."""
    radius = rng.uniform(*recipe.object_size) * side
    image = textures[int(rng.integers(len(textures)))]
    zoom = float(np.exp(rng.uniform(np.log(1.0), np.log(2.0))))
    texels = max(16, min(int(2.7 * radius * zoom), *image.shape[:2]))
    y, x = (int(rng.integers(0, n - texels + 1)) for n in image.shape[:2])
    texture = _turned(image[y : y + texels, x : x + texels], rng)
    median = float(np.median(texture.max(axis=-1)))
    level = _log_uniform(rng, recipe.object_level) * saturation
    texture = np.clip(texture * np.float32(level / max(median, 1e-6)), 0.0, HEADROOM)
    speed = rng.uniform(*(recipe.fast_speed if rng.random() < recipe.fast else recipe.object_speed))
    heading, turn = rng.uniform(0, 2 * np.pi, size=2)
    rigid = rng.random() < 0.3  # neither turns nor changes its size or shape
    motion = Motion(
        centre=(float(rng.uniform(0.05, 0.95) * side), float(rng.uniform(0.05, 0.95) * side)),
        velocity=(float(speed * np.cos(heading)), float(speed * np.sin(heading))),
        acceleration=(float(0.3 * speed * np.cos(turn)), float(0.3 * speed * np.sin(turn))),
        spin=0.0 if rigid else float(rng.uniform(-recipe.spin, recipe.spin)),
        growth=0.0 if rigid else float(rng.uniform(-recipe.growth, recipe.growth)),
        bend=0.0 if rigid or rng.random() < 0.5 else float(rng.uniform(0, recipe.bend)),
        wave=float(rng.uniform(-1.0, 1.0)),
    )
    return MovingObject(blob(texture, rng), 1.35 * radius, motion)


def _cameras(
    size: tuple[int, int], rng: np.random.Generator, recipe: PhotographRecipe
) -> tuple[list[np.ndarray], list[bool]]:
    """The three frames' homographies, and whether each is compensated."""
    moves = rng.random() < recipe.camera
    aligned = rng.random() < recipe.aligned
    # What alignment refuses is rarely far off; the network has to find it by itself.
    strength = 1.0 if aligned else rng.uniform(0.0, 0.5)
    cameras = []
    for _ in range(3):
        shift, (rotation, scale, *tilt) = rng.uniform(-1, 1, 2), rng.uniform(-1, 1, 4)
        small = strength * rng.uniform(0.0, 1.0)
        cameras.append(
            camera_motion(
                size,
                (float(small * recipe.shift * shift[0]), float(small * recipe.shift * shift[1])),
                float(strength * recipe.rotation * rotation),
                1 + float(strength * recipe.scale * scale),
                (float(strength * recipe.tilt * tilt[0]), float(strength * recipe.tilt * tilt[1])),
            )
            if moves
            else np.eye(3)
        )
    cameras[_REFERENCE] = np.eye(3)
    return cameras, [moves and aligned and k != _REFERENCE for k in range(3)]


def _sensor(rng: np.random.Generator, recipe: PhotographRecipe) -> Sensor:
    noise = SensorNoise(_log_uniform(rng, recipe.shot), _log_uniform(rng, recipe.read))
    bits = int(rng.choice(recipe.bits))
    curve = tone_curve(rng, recipe.curve_strength) if rng.random() < recipe.curve else None
    quality = int(rng.integers(_JPEG[0], _JPEG[1] + 1)) if rng.random() < recipe.jpeg else None
    return Sensor(noise, bits, curve, quality, full_colour=bool(rng.random() < 0.5))


def _residual_curves(rng: np.random.Generator, recipe: PhotographRecipe) -> list[np.ndarray] | None:
    """What an undone response leaves: a curve for each channel, often one for all; None = nothing."""
    if not recipe.residual_curve or rng.random() < 0.3:  # files that are gamma 2.2 leave nothing
        return None
    shared = tone_curve(rng, recipe.residual_curve)
    return [tone_curve(rng, recipe.residual_curve) for _ in range(3)] if rng.random() < 0.3 else [shared] * 3


def _compensated(
    frame: np.ndarray,
    cover: np.ndarray,
    camera: np.ndarray,
    aligned: bool,
    rng: np.random.Generator,
    recipe: PhotographRecipe,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Undo a camera's motion but for a small error, as :func:`apnt.prepare.alignment.align.warp` does.

    Returns:
        The frame; (H, W) bool, where it has data; ``cover`` in the frame's new geometry; and (3, 3), the
        camera with that geometry.
    """
    size = frame.shape[:2]
    if not aligned:
        return frame, np.ones(size, bool), cover, camera
    reach = recipe.residual_shift * rng.uniform(0.0, 1.0)
    heading = rng.uniform(0, 2 * np.pi)
    wrong = camera_motion(
        size,
        (float(0.7 * reach * np.cos(heading)), float(0.7 * reach * np.sin(heading))),
        float(np.rad2deg(rng.uniform(-0.3, 0.3) * reach / (size[0] / 2))),
    )
    matrix = camera @ wrong  # reference pixels to this frame's
    moved = cv2.warpPerspective(
        frame, matrix, size[::-1],
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    inside = cv2.warpPerspective(np.full(size, 255, np.uint8), matrix, size[::-1], flags=flags) == 255
    cover = cv2.warpPerspective(cover.astype(np.uint8) * 255, matrix, size[::-1], flags=flags) > 127
    return np.clip(moved, 0.0, 1.0), inside, cover, np.linalg.inv(wrong)


def _fill(frames: list[np.ndarray], valid: list[np.ndarray], times: np.ndarray) -> None:
    """Where a frame has no data, what it would show of the reference frame's light; in place."""
    for k, frame in enumerate(frames):
        missing = ~valid[k]
        ratio = np.float32((times[k] / times[_REFERENCE]) ** (1 / GAMMA))
        frame[missing] = np.minimum(frames[_REFERENCE][missing] * ratio, 1.0)


def _log_uniform(rng: np.random.Generator, bounds: tuple[float, float]) -> float:
    return float(np.exp(rng.uniform(np.log(bounds[0]), np.log(bounds[1]))))
