"""A folder as a card of a busy day leaves it: brackets, much that is none, and the truth about each file."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from apnt.data.synthetic import SensorNoise, expose
from apnt.io.taken import exif_time

_EXIF_IFD = 0x8769
_NOISE = SensorNoise(shot=2e-4, read=1e-3)
_START = 1.75e9  # seconds; a day in 2025
_COUNTS = {2: 0.50, 3: 0.34, 4: 0.05, 5: 0.06, 7: 0.05}  # frames of a bracket: share
_BASE = 1 / 60  # seconds, of the middle exposure

Order = Sequence[float]


@dataclass(frozen=True)
class Camera:
    """Name, and whether its clock has decimals of a second, and its EXIF says that it brackets."""

    model: str
    decimals: bool = True
    says_bracket: bool = True


CAMERAS = (Camera("One"), Camera("Two", decimals=False), Camera("Three", says_bracket=False))


@dataclass
class Truth:
    """What each file is.

    Attributes:
        brackets: names of the files of each bracket, in the order in which they were taken.
        others: file name -> a word of the reason why it is left out.
    """

    brackets: list[list[str]] = field(default_factory=list)
    others: dict[str, str] = field(default_factory=dict)


@dataclass
class _Folder:
    path: Path
    rng: np.random.Generator
    size: tuple[int, int]
    truth: Truth = field(default_factory=Truth)
    clock: float = _START
    number: int = 0

    def scene(self) -> np.ndarray:
        """(H, W, 3) light of some six stops, shapes of several sizes."""
        height, width = self.size
        light = np.zeros((height, width, 3), np.float32)
        for side, weight in ((3, 1.0), (7, 0.8), (20, 0.5), (60, 0.2)):
            grid = self.rng.standard_normal((side, side * 3 // 2, 3)).astype(np.float32)
            grid = 0.75 * grid.mean(axis=-1, keepdims=True) * 1.7 + 0.25 * grid
            light += weight * cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
        for _ in range(6):
            centre = (int(self.rng.integers(width)), int(self.rng.integers(height)))
            axes = tuple(int(v) for v in self.rng.integers(height // 12, height // 4, 2))
            shape = np.zeros((height, width), np.float32)
            cv2.ellipse(shape, centre, axes, float(self.rng.uniform(0, 180)), 0, 360, 1.0, -1)
            light += shape[..., None] * self.rng.normal(0, 1.2)
        return np.exp2(1.3 * light - 3).astype(np.float32)

    def take(self, camera: Camera, scene: np.ndarray, stops: float, bracket: bool, at: float) -> str:
        """One photograph, shifted by a pixel or two as by a hand; its name."""
        self.number += 1
        name = f"IMG_{self.number:04d}.JPG"
        moved = np.roll(scene, tuple(self.rng.integers(-1, 2, 2)), (0, 1))
        pixels = expose(moved, 2.0**stops, _NOISE, 8, self.rng)
        (self.path / name).write_bytes(_jpeg(pixels, camera, _BASE * 2.0**stops, bracket, at))
        return name

    def series(
        self, camera: Camera, scene: np.ndarray, stops: Order, bracket: bool, at: float
    ) -> list[float]:
        """Moments of frames that follow each other as fast as a camera can."""
        pause = float(self.rng.uniform(0.15, 0.6))
        times = np.cumsum([at] + [_BASE * 2.0**stop + pause for stop in stops])
        return [float(time) for time in times[:-1]]

    def pass_time(self, low: float, high: float) -> None:
        self.clock += float(self.rng.uniform(low, high))

    def order(self, count: int) -> list[float]:
        """Exposures as cameras vary them: middle, under, over; or rising; or falling."""
        step = float(self.rng.choice([1.0, 1.5, 2.0] if count < 7 else [1.0]))
        stops = step * (np.arange(count) - (count - 1) // 2)
        kind = self.rng.integers(3)
        if kind == 0:
            return [float(stop) for stop in sorted(stops, key=lambda stop: (abs(stop), stop))]
        return [float(stop) for stop in (stops if kind == 1 else stops[::-1])]


def make_folder(
    path: Path, brackets: int = 120, files: int = 400, seed: int = 0, size: tuple[int, int] = (96, 144)
) -> Truth:
    """Make the folder.

    Of the brackets a tenth each is taken in turn with one of another camera, in turn with one of a camera of
    the same name, or of the scene of the bracket before; one in twelve is set by hand, seconds apart. The
    rest of the files: single photographs, bursts of one exposure, copies, photographs saved again, files cut
    off (frames of brackets among them), empty ones, and ones that are no photographs.

    Args:
        path: an empty folder.
        brackets: how many.
        files: in all; at least three more than a third over the frames of the brackets.
        seed: of everything.
        size: height and width.

    Returns:
        The truth.
    """
    folder = _Folder(path, np.random.default_rng(seed), size)
    rng, truth = folder.rng, folder.truth
    counts = [int(n) for n in rng.choice(list(_COUNTS), brackets, p=list(_COUNTS.values()))]
    while counts:
        kind = rng.uniform()
        camera = CAMERAS[int(rng.integers(len(CAMERAS)))]
        folder.pass_time(8, 240)
        if kind < 0.1 and len(counts) > 1:
            _in_turn(folder, [camera, CAMERAS[(CAMERAS.index(camera) + 1) % 3]], [counts.pop(), counts.pop()])
        elif kind < 0.2 and len(counts) > 1:
            _in_turn(folder, [CAMERAS[0], CAMERAS[0]], [counts.pop(), counts.pop()])
        elif kind < 0.3 and len(counts) > 1:
            scene = folder.scene()
            _bracket(folder, camera, scene, folder.order(counts.pop()))
            folder.pass_time(2.5, 8)
            _bracket(folder, camera, scene, folder.order(counts.pop()))
        elif kind < 0.38 and counts[-1] > 2:
            _by_hand(folder, camera, folder.order(counts.pop()))
        else:
            _bracket(folder, camera, folder.scene(), folder.order(counts.pop()))
    _others(folder, files - folder.number)
    return truth


def _bracket(folder: _Folder, camera: Camera, scene: np.ndarray, stops: Order) -> None:
    times = folder.series(camera, scene, stops, True, folder.clock)
    names = [folder.take(camera, scene, s, True, t) for s, t in zip(stops, times, strict=True)]
    folder.truth.brackets.append(names)
    folder.clock = times[-1]


def _by_hand(folder: _Folder, camera: Camera, stops: Order) -> None:
    scene, names = folder.scene(), []
    for stop in stops:
        folder.pass_time(3, 6)
        names.append(folder.take(camera, scene, stop, False, folder.clock))
    folder.truth.brackets.append(names)


def _in_turn(folder: _Folder, cameras: Sequence[Camera], counts: Sequence[int]) -> None:
    """Two brackets whose frames alternate, in time and by name."""
    shots = []
    for which, (camera, count) in enumerate(zip(cameras, counts, strict=True)):
        scene, stops = folder.scene(), folder.order(count)
        times = folder.series(camera, scene, stops, True, folder.clock + 0.1 * which)
        shots += [(t, which, camera, scene, s) for s, t in zip(stops, times, strict=True)]
    names: list[list[str]] = [[] for _ in cameras]
    for time, which, camera, scene, stop in sorted(shots, key=lambda shot: shot[0]):
        names[which].append(folder.take(camera, scene, stop, True, time))
        folder.clock = time
    folder.truth.brackets += names


def _others(folder: _Folder, count: int) -> None:
    """What is no bracket, in turn until there are enough files."""
    others, rng = folder.truth.others, folder.rng
    frames = [name for bracket in folder.truth.brackets for name in bracket]
    made = 0
    while made < count:
        kind = ("alone", "burst", "copy", "again", "cut", "empty", "text", "alone")[made % 8]
        name = f"IMG_{folder.number + 1:04d}.JPG"
        camera = CAMERAS[int(rng.integers(len(CAMERAS)))]
        folder.pass_time(700, 900)
        if kind == "alone" or (kind == "burst" and count - made < 3):
            others[folder.take(camera, folder.scene(), 0.0, False, folder.clock)] = "alone|looks like none"
        elif kind == "burst":
            scene, stops = folder.scene(), [0.0, 0.0, 0.0]
            for stop, time in zip(
                stops, folder.series(camera, scene, stops, False, folder.clock), strict=True
            ):
                others[folder.take(camera, scene, stop, False, time)] = (
                    "is exposed like|repeats"  # by a clock without decimals
                )
            made += 2
        elif kind in ("copy", "again", "cut"):
            source = folder.path / str(rng.choice(frames))
            name = f"{source.stem} ({kind} {made}).JPG"
            others[name] = {"copy": "same file", "again": "repeats", "cut": "truncated"}[kind]
            data = source.read_bytes()
            (folder.path / name).write_bytes(
                data
                if kind == "copy"
                else data[: len(data) * 2 // 3]
                if kind == "cut"
                else _saved_again(data)
            )
        elif kind == "empty":
            (folder.path / f"IMG_{9000 + made}.JPG").write_bytes(b"")
            others[f"IMG_{9000 + made}.JPG"] = "empty"
        else:
            (folder.path / f"notes {made}.txt").write_text(json.dumps({"weather": "fine", "number": made}))
            others[f"notes {made}.txt"] = "no photograph"
        made += 1


def _jpeg(pixels: np.ndarray, camera: Camera, time: float, bracket: bool, at: float) -> bytes:
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Maker", camera.model
    fields = exif.get_ifd(_EXIF_IFD)
    fields[0x829A] = IFDRational(round(time * 1e6), 1_000_000)
    fields[0x829D], fields[0x8827] = IFDRational(8, 1), 100
    moment = dict(exif_time(at))
    if not camera.decimals:
        moment.pop(0x9291)
    fields.update(moment)
    if camera.says_bracket:
        fields[0xA402] = 2 if bracket else 0
    return _encoded(Image.fromarray(np.round(pixels * 255).astype(np.uint8)), exif)


def _saved_again(data: bytes) -> bytes:
    with Image.open(io.BytesIO(data)) as image:
        return _encoded(image, image.getexif(), quality=90)


def _encoded(image: Image.Image, exif: Image.Exif, quality: int = 95) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, subsampling=0, exif=exif)
    return buffer.getvalue()
