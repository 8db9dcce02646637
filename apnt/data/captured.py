"""Captured brackets: data sets on disk, read one scene at a time."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple, overload

import numpy as np

from apnt.bracket import Bracket
from apnt.data.exposures import Exposures, read_exposures
from apnt.data.layouts import Layout, Scene, Split, find_scenes
from apnt.errors import InputError
from apnt.io.exposure import relative_times
from apnt.io.frames import assemble, read_frames, read_photographs
from apnt.io.radiance import read_radiance
from apnt.prepare.brightness import estimate_times, measured_truth_scale
from apnt.text import plain

OnError = Literal["raise", "skip"]
Stops = Sequence[float] | Literal["estimate"] | None

LARGEST_MISFIT = 2.0
"""A truth that differs from the frames' radiance by more than this factor is refused: its scale is wrong."""


def open_dataset(
    root: str | Path,
    split: Split | None = None,
    *,
    layout: str | None = None,
    on_error: OnError = "raise",
    need_truth: bool = False,
    stops: Stops = None,
    truth_scale: float = 1.0,
) -> CapturedBrackets:
    """Open a data set of captured brackets, in any layout that docs/data.md lists.

    The names of the files and the content of the exposure files are checked now; pixels are read scene by
    scene when they are needed.

    Args:
        root: folder of the data set: as downloaded, a part of it, flat, or one scene.
        split: only "train", "test" or "val", by the names of the folders; None = all scenes.
        layout: name out of ``apnt.data.layouts.LAYOUTS``; None recognises it.
        on_error: "raise" refuses the set because of one bad scene; "skip" leaves bad scenes out and warns of
            each by name, here and when the set is iterated. A bad scene read by its index always raises.
        need_truth: whether a scene without truth counts as bad; a layout that has none is then refused.
        stops: for a layout without times: ascending exposures of the three frames in stops, the same for all
            scenes, or "estimate" to measure them.
        truth_scale: factor on the stored truth, for a set whose 1.0 is not the saturation of the shortest
            exposure.

    Raises:
        InputError: no such folder, layout or split, arguments that do not fit it, a scene that cannot be
            used (with "raise"), or none that can.
    """
    if on_error not in ("raise", "skip"):
        raise InputError(f"on_error must be 'raise' or 'skip', got {on_error!r}")
    if not (np.isfinite(truth_scale) and truth_scale > 0):
        raise InputError(f"truth_scale must be a positive number, got {truth_scale!r}")
    _check_stops(stops)
    found = find_scenes(root, layout)
    if need_truth and found.layout.truth is None:
        raise InputError(f"data must have truth, and {found.layout.title}, in {root}, has none")
    if found.layout.unit is not None and stops is not None:
        raise InputError(f"stops must be left out for {found.layout.title}, which has exposure files")
    scenes = found.scenes
    if split is not None:
        scenes = tuple(scene for scene in scenes if scene.split == split)
        if not scenes:
            have = sorted({scene.split or "no split" for scene in found.scenes})
            raise InputError(f"split must be one of those in {root}, {', '.join(have)}, got {split!r}")
    usable = []
    for scene in scenes:
        problems = scene_problems(scene, need_truth)
        if problems and on_error == "raise":
            raise InputError(
                f"{problems[0].message}; apnt data validate lists all that is wrong, and on_error='skip' "
                "leaves such scenes out"
            )
        if problems:
            warnings.warn(f"skipped {scene.name}: {problems[0].message}", stacklevel=2)
        else:
            usable.append(scene)
    if not usable:
        raise InputError(f"data must hold scenes that can be used, and all of {root} have problems")
    return CapturedBrackets(usable, on_error, stops, truth_scale)


class CapturedBrackets(Sequence[Bracket]):
    """Scenes of a data set as brackets, read from disk each time they are needed.

    ``len``, an index and a slice see the scenes that were good when the set was opened. An iteration also
    skips, with a warning, scenes that cannot be read by then, if the set was opened with "skip". A PyTorch
    ``DataLoader`` accepts the set as it is.

    Attributes:
        scenes: their files.
    """

    def __init__(
        self,
        scenes: Sequence[Scene],
        on_error: OnError = "raise",
        stops: Stops = None,
        truth_scale: float = 1.0,
    ):
        self.scenes = tuple(scenes)
        self.on_error, self.stops, self.truth_scale = on_error, stops, truth_scale

    @property
    def layout(self) -> Layout:
        """Of the scenes' files."""
        return self.scenes[0].layout

    @property
    def splits(self) -> set[Split]:
        """The splits by the names of the folders; empty for a flat set."""
        return {scene.split for scene in self.scenes if scene.split is not None}

    def only(self, split: Split) -> CapturedBrackets:
        """The scenes of one split; may be empty."""
        scenes = [scene for scene in self.scenes if scene.split == split]
        return CapturedBrackets(scenes, self.on_error, self.stops, self.truth_scale)

    def __len__(self) -> int:
        return len(self.scenes)

    @overload
    def __getitem__(self, index: int) -> Bracket: ...

    @overload
    def __getitem__(self, index: slice) -> CapturedBrackets: ...

    def __getitem__(self, index: int | slice) -> Bracket | CapturedBrackets:
        if isinstance(index, slice):
            return CapturedBrackets(self.scenes[index], self.on_error, self.stops, self.truth_scale)
        return read_scene(self.scenes[index], stops=self.stops, truth_scale=self.truth_scale)

    def __iter__(self) -> Iterator[Bracket]:
        for index in range(len(self)):
            bracket = self.read(index)
            if bracket is not None:
                yield bracket

    def read(self, index: int) -> Bracket | None:
        """One scene; None, with a warning, where it cannot be read and the set was opened with "skip"."""
        try:
            return self[index]
        except InputError as error:
            if self.on_error == "raise":
                raise
            warnings.warn(f"skipped {self.scenes[index].name}: {error}", stacklevel=2)
            return None


class Problem(NamedTuple):
    """A reason why a scene is unusable.

    Attributes:
        code: kind of the problem, the same in every version.
        message: one line for people.
    """

    code: str
    message: str


def scene_problems(scene: Scene, need_truth: bool) -> list[Problem]:
    """Everything that makes a scene unusable and is found without opening a picture."""
    layout, count, problems = scene.layout, len(scene.frames), []
    if count < 3 or layout.count not in (None, count):
        wanted = "at least 3" if layout.count is None else layout.count
        message = f"{scene.folder} must hold {wanted} frames like {layout.example}, it holds {count}"
        problems.append(Problem("frame-count", message))
    if layout.exposures is not None and scene.exposures is None:
        path = scene.folder / layout.exposures
        problems.append(
            Problem("exposures-missing", f"{path} is missing: without it the exposures are not known")
        )
    if not problems:
        try:
            scene_exposures(scene)
        except InputError as error:
            problems.append(Problem("exposures", str(error)))
    if need_truth and layout.truth is not None and scene.truth is None:
        path = scene.folder / layout.truth
        problems.append(Problem("truth-missing", f"{path} is missing: without it there is no truth"))
    return problems


def scene_exposures(scene: Scene) -> Exposures | None:
    """The frames of a scene that are used, and their times; None where the layout has no times."""
    if scene.exposures is None:
        return None
    return read_exposures(scene.exposures, scene.layout, len(scene.frames))


def read_scene(
    scene: Scene, *, static: bool = False, stops: Stops = None, truth_scale: float = 1.0
) -> Bracket:
    """Read the three frames of a scene and, where it has one, the truth.

    Args:
        scene: from :func:`apnt.data.layouts.find_scenes`.
        static: read the static stack in place of the moving one.
        stops, truth_scale: see :func:`open_dataset`.

    Returns:
        The bracket, sorted by exposure; truth is clipped to [0, 1].

    Raises:
        InputError: a file is missing, damaged or contradicts the others, or the brightness of the truth
            differs from that of the reference frame by more than a factor of ``LARGEST_MISFIT``.
    """
    _check_stops(stops)
    problems = scene_problems(scene, need_truth=False)
    if problems:
        raise InputError(problems[0].message)
    paths = scene.static if static else scene.frames
    if len(paths) != len(scene.frames):
        raise InputError(
            f"static must be False for {scene.folder}, which holds {len(paths)} frames of a static stack"
        )
    exposures = scene_exposures(scene)
    if exposures is not None:
        photographs, _ = read_photographs([paths[n] for n in exposures.taken])
        frames = assemble(photographs, exposures.times)
    else:
        frames = _frames_without_times(scene, paths, stops)
    truth = None
    if scene.truth is not None:
        truth = read_radiance(scene.truth) * np.float32(truth_scale)
        _check_truth(scene.truth, truth, frames, truth_scale)
        truth = np.minimum(truth, 1.0)
    return replace(frames, name=scene.name, truth=truth)


def _frames_without_times(scene: Scene, paths: Sequence[Path], stops: Stops) -> Bracket:
    """Three frames, sorted by brightness, with times from the user or measured on their pixels."""
    if stops is None:
        raise InputError(
            f"stops must be given for {scene.layout.title}, which has no exposure times: three numbers, or "
            "'estimate' to measure them"
        )
    read = read_frames([paths[n] for n in scene.layout.positions(len(paths))], stops=range(3))
    ldr = read.ldr[np.argsort(read.ldr.mean(axis=(1, 2, 3)), kind="stable")]
    if not isinstance(stops, str):
        return Bracket(scene.name, ldr, relative_times(stops=sorted(stops)))
    try:
        return Bracket(scene.name, ldr, estimate_times(ldr))
    except InputError as error:
        raise InputError(f"{scene.folder}: {error}: give stops as three numbers") from error


def _check_stops(stops: Stops) -> None:
    if isinstance(stops, str):
        if stops not in ("estimate",):
            raise InputError(f"stops must be three numbers or 'estimate', got {stops!r}")
    elif stops is not None and len(relative_times(stops=stops)) != 3:
        raise InputError(f"stops must be three numbers or 'estimate', got {len(stops)}")


def _check_truth(path: Path, truth: np.ndarray, frames: Bracket, truth_scale: float) -> None:
    if truth.shape != frames.reference_frame.shape:
        sizes = [f"{image.shape[1]} x {image.shape[0]}" for image in (truth, frames.reference_frame)]
        raise InputError(f"{path} must have the frames' size, {sizes[1]} pixels, and it is {sizes[0]}")
    if not truth.any():
        raise InputError(f"{path} must hold light, and it is black")
    scale = measured_truth_scale(truth, frames.reference_frame, float(frames.times[frames.reference]))
    if scale is not None and not 1 / LARGEST_MISFIT < scale < LARGEST_MISFIT:
        advice = f", or give truth_scale={plain(truth_scale / scale, 3)}" if scale > 0 else ""
        raise InputError(
            f"{path} must have the scale of the shortest exposure, 1.0 where it saturates, and it is "
            f"{plain(scale, 3)} times that of the frames: check the exposures{advice}"
        )
