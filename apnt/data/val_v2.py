"""val-v2: frozen validation brackets like photographs, each labelled with the condition that it holds.

Every condition shows the same scenes with the same objects, and differs from the base, ``objects``, in what
its name says alone: objects that move by fractions of a pixel before a still camera, exposures 0/2/4, 8 bits,
gamma 2.2, little noise. Frames are made as a camera writes them and prepared as ``apnt fuse`` prepares them.
A change of anything here makes another set, which needs another name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from apnt.bracket import Bracket
from apnt.data.scene import HEADROOM, Ground, Motion, MovingObject, blob, camera_motion, photograph
from apnt.data.sensor import Sensor
from apnt.data.synthetic import SensorNoise
from apnt.data.tone_curves import curve_of
from apnt.data.val_v1 import find_folder
from apnt.errors import InputError
from apnt.io.radiance import read_radiance
from apnt.prepare.pipeline import Options, prepare

SIZE = (384, 512)
SEED = 20261128
SCENES = ("chinese_garden.hdr", "st_fagans_interior.hdr")
"""Scenes of every condition; objects come from ``TEXTURES``. All are files of val-v1."""
TEXTURES = ("pedestrian_overpass.hdr", "vintage_measuring_lab.hdr", "spree_bank.hdr")

_REFERENCE = 1
_NOISE = SensorNoise(shot=1e-4, read=6e-4)
_S_CURVE = (0.2, -0.4)  # waves of :func:`curve_of`: more contrast in the middle, brighter shadows
_RADII = (0.16, 0.11, 0.07)  # of the objects, as shares of the frame's height
_LEVELS = (0.3, 2.0, 1.2)  # medians relative to the reference frame's saturation: two are burnt out


@dataclass(frozen=True)
class Condition:
    """What a bracket holds; the defaults are the base.

    Attributes:
        stops: of the three exposures.
        speed: displacement of the objects between neighbouring frames, pixels at a width of 512.
        spin, growth, bend: of the objects, see :class:`apnt.data.scene.Motion`.
        size: factor on the objects' radii.
        shift, rotation: of the camera between neighbouring frames, pixels (x, y) and degrees.
        saturated: share of the background that saturates in the reference frame.
        noise: factor on the noise's standard deviation.
        curve: whether the camera has an S-curve.
        bits: of the files' values, which are whole numbers of 8 or 16 bits.
        jpeg: quality; None = no loss but of ``bits``.
        drift: relative change of exposure between neighbouring frames; white balance drifts by half of it.
        blur: moments during which the shutter of the longest exposure is open.
        enlarged: factor on the frame's sides and on all motion; detail is enlarged with it.
    """

    stops: tuple[float, float, float] = (0.0, 2.0, 4.0)
    speed: float = 9.4
    spin: float = 0.0
    growth: float = 0.0
    bend: float = 0.0
    size: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)
    rotation: float = 0.0
    saturated: float = 0.15
    noise: float = 1.0
    curve: bool = False
    bits: int = 8
    jpeg: int | None = None
    drift: float = 0.0
    blur: float = 0.0
    enlarged: int = 1


_TOGETHER = Condition(
    stops=(0.0, 3.0, 6.0), spin=6.0, growth=0.04, bend=0.04, shift=(5.5, -3.5), rotation=0.3, noise=2.0,
    jpeg=85, drift=0.03, blur=0.3,
)  # fmt: skip

CONDITIONS: dict[str, Condition] = {
    "static": Condition(speed=0.0),
    "objects": Condition(),
    "whole_pixel": Condition(shift=(5.0, -3.0)),
    "half_pixel": Condition(shift=(5.5, -3.5)),
    "rotation_0.5": Condition(rotation=0.5),
    "bits_12": Condition(bits=12),
    "bits_16": Condition(bits=16),
    "jpeg_75": Condition(jpeg=75),
    "jpeg_85": Condition(jpeg=85),
    "jpeg_95": Condition(jpeg=95),
    "s_curve": Condition(curve=True),
    "drift": Condition(drift=0.04),
    "stops_0_1_2": Condition(stops=(0.0, 1.0, 2.0)),
    "stops_0_3_6": Condition(stops=(0.0, 3.0, 6.0)),
    "stops_0_4_8": Condition(stops=(0.0, 4.0, 8.0)),
    "stops_0_1.5_6": Condition(stops=(0.0, 1.5, 6.0)),
    "noise_none": Condition(noise=0.0),
    "noise_x4": Condition(noise=4.0),
    "burnt_60": Condition(saturated=0.6),
    "blur": Condition(blur=0.6),
    "disocclusion": Condition(size=2.0, speed=33.3),
    "shift_80": Condition(shift=(76.4, 23.7)),
    "object_80": Condition(speed=80.3),
    "object_turns": Condition(spin=18.0, growth=0.1, bend=0.08),
    "motion_2_percent": Condition(speed=10.2),
    "motion_8_percent": Condition(speed=41.0),
    "together": _TOGETHER,
    "together_s_curve": replace(_TOGETHER, curve=True),
}
"""Name -> condition, of the frames of ``SIZE``."""

LARGE: dict[str, Condition] = {
    f"{motion}_{name}": replace(CONDITIONS[motion], enlarged=factor)
    for name, factor in (("3mp", 4), ("12mp", 8))
    for motion in ("motion_2_percent", "motion_8_percent")
}
"""Frames of 3 and 12 megapixels, one scene each."""


@dataclass(frozen=True, eq=False)
class Written:
    """A bracket as a camera writes it.

    Attributes:
        frames: (3, H, W, 3) uint8, or uint16 of 12 or 16 bits.
        stops: what the files say of the exposures.
        truth: (H, W, 3) float32 light of the reference frame, 1 = saturation of the shortest exposure as the
            files say it; not clipped.
        moving: (H, W) bool, as of :class:`apnt.bracket.Bracket`.
    """

    frames: np.ndarray
    stops: tuple[float, float, float]
    truth: np.ndarray
    moving: np.ndarray


def val_v2(
    data: str | Path | None = None, conditions: Sequence[str] | None = None
) -> tuple[Iterator[Bracket], int]:
    """Make brackets of val-v2, prepared like photographs, each when it is needed; the folder is checked now.

    Args:
        data: the folder with the radiance maps, as of :func:`apnt.data.val_v1.val_v1`.
        conditions: names out of ``CONDITIONS`` and ``LARGE``; None = all of ``CONDITIONS``.

    Returns:
        The brackets, called ``<condition>/<scene>``, and how many there are.

    Raises:
        InputError: no such condition, no folder, or a file is missing.
    """
    known = {**CONDITIONS, **LARGE}
    names = list(CONDITIONS) if conditions is None else list(dict.fromkeys(conditions))
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise InputError(f"conditions must be of {', '.join(known)}, got {', '.join(unknown) or 'none'}")
    folder = find_folder(data)
    tasks = [(name, scene) for name in names for scene in (SCENES[:1] if name in LARGE else SCENES)]
    return (prepared(write(folder, known[name], scene), name, scene) for name, scene in tasks), len(tasks)


def write(folder: Path, condition: Condition, scene: str) -> Written:
    """Take the photographs of a scene.

    Args:
        folder: of the radiance maps.
        condition: what the bracket holds.
        scene: one of ``SCENES``.
    """
    index = SCENES.index(scene)
    size = (SIZE[0] * condition.enlarged, SIZE[1] * condition.enlarged)
    times = 2.0 ** np.array(condition.stops)
    saturation = 1 / times[_REFERENCE]
    radiance = read_radiance(folder / scene)
    top, left = (radiance.shape[0] - SIZE[0]) // 2, (radiance.shape[1] - SIZE[1]) // 2
    shown = radiance[top : top + SIZE[0], left : left + SIZE[1]].max(axis=-1)
    level = saturation / float(np.quantile(shown, 1 - condition.saturated))
    corner = (left * 1.0, top * 1.0)
    ground = Ground(np.minimum(radiance * np.float32(level), HEADROOM), 1 / condition.enlarged, corner)
    objects = [_object(folder, condition, index, number, saturation) for number in range(len(_RADII))]
    shift = tuple(condition.enlarged * each for each in condition.shift)
    cameras = [
        camera_motion(size, (side * shift[0], side * shift[1]), side * condition.rotation)
        for side in (-1, 0, 1)
    ]
    shutters = condition.blur * times / times[-1]
    light, covers = photograph(ground, objects, cameras, (-1, 0, 1), shutters, size)
    still = [np.eye(3)] * 3
    if condition.speed or condition.spin:
        if any(condition.shift) or condition.rotation:  # the mask is that of objects, seen by one camera
            covers = photograph(ground, objects, still, (-1, 0, 1), shutters, size)[1]
        moving = np.asarray(covers.any(axis=0))
    else:
        moving = np.zeros(size, bool)

    noise = SensorNoise(_NOISE.shot * condition.noise**2, _NOISE.read * condition.noise)
    sensor = Sensor(noise, condition.bits, curve_of(_S_CURVE) if condition.curve else None, condition.jpeg)
    rng = np.random.default_rng([SEED, index, 1])  # the same noise in all conditions
    drift = np.array([1.0, -0.5, -1.0]) * condition.drift  # warmer light is dimmer
    frames = [
        sensor.record(each, time * (1 + side * condition.drift) * (1 + side * drift / 2), rng)
        for side, each, time in zip((-1, 0, 1), light, times, strict=True)
    ]
    values = np.round(np.stack(frames) * np.float32(2**condition.bits - 1))
    written = values.astype(np.uint8 if condition.bits <= 8 else np.uint16)
    return Written(written, condition.stops, light[_REFERENCE], moving)


def prepared(written: Written, condition: str, scene: str) -> Bracket:
    """Prepare photographs as ``apnt fuse`` does, and bring the truth to the scale of the reference frame."""
    options = Options(reference=_REFERENCE)
    bracket = prepare(list(written.frames), stops=written.stops, options=options).bracket
    # Exposures that were corrected move the shortest frame's saturation, which is 1.
    scale = np.float32(2.0 ** written.stops[_REFERENCE] / bracket.times[_REFERENCE])
    return replace(
        bracket,
        name=f"{condition}/{Path(scene).stem}",
        truth=np.clip(written.truth * scale, 0.0, 1.0),
        moving=written.moving,
    )


def _object(folder: Path, condition: Condition, index: int, number: int, saturation: float) -> MovingObject:
    """The same object in all conditions but for how it moves, its size, and the size of the frame."""
    rng = np.random.default_rng([SEED, index, 2, number])
    image = read_radiance(folder / TEXTURES[number])
    image = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)  # whole structures
    radius = _RADII[number] * SIZE[0]
    side = int(2.7 * radius)
    y, x = (int(rng.integers((n - side) // 3, 2 * (n - side) // 3 + 1)) for n in image.shape[:2])
    texture = image[y : y + side, x : x + side]
    level = _LEVELS[number] * saturation / float(np.median(texture.max(axis=-1)))
    texture = np.clip(texture * np.float32(level), 0.0, HEADROOM)
    layers = blob(texture, rng)
    centre = (rng.uniform(0.2, 0.8) * SIZE[1], rng.uniform(0.25, 0.75) * SIZE[0])
    heading, sign = rng.uniform(-0.5, 0.5) + np.pi * number, 1 - 2 * (number % 2)
    factor = condition.enlarged
    motion = Motion(
        centre=(factor * float(centre[0]), factor * float(centre[1])),
        velocity=(
            float(factor * condition.speed * np.cos(heading)),
            float(factor * condition.speed * np.sin(heading)),
        ),
        spin=sign * condition.spin,
        growth=sign * condition.growth,
        bend=condition.bend,
        wave=1.0,
    )
    return MovingObject(layers, factor * condition.size * 1.35 * radius, motion)
