"""Check every file of a data set: content, missing files, oddities."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tifffile

from apnt.data.captured import LARGEST_MISFIT, scene_exposures, scene_problems
from apnt.data.exposures import Exposures
from apnt.data.layouts import Found, Layout, Scene, Split, find_scenes
from apnt.errors import InputError
from apnt.io.photo import read_photo
from apnt.io.radiance import read_radiance
from apnt.memory import SMALLER, explained
from apnt.prepare.brightness import measured_stops, measured_truth_scale
from apnt.text import plain

Level = Literal["unusable", "odd"]

FORMAT = 1
"""Version of :meth:`Report.as_json`; it is raised when a key is removed or changes its meaning."""

_SCALE_TOLERANCE = 0.25  # stops between truth and reference frame
_STOPS_TOLERANCE = 0.75  # stops between the exposure file and the pixels, which tone curves change
_CLIPPED = 0.01  # share of the truth's pixels at its maximum above which it counts as clipped
_REFERENCE = 1  # of the three frames that are used
_ABOVE = 1 + 1 / 128  # RGBE rounds to steps of at most 1 / 128


@dataclass(frozen=True)
class Finding:
    """One problem of a scene or the set.

    Attributes:
        level: "unusable": the scene cannot be used; "odd": it can, but should be checked.
        code: kind of the problem, the same in every version.
        scene: its name; None for the set as a whole.
        message: one line for people.
    """

    level: Level
    code: str
    scene: str | None
    message: str


@dataclass(frozen=True)
class SceneReport:
    """The content of one scene; None where it could not be read or does not apply.

    Attributes:
        name, split: of the scene.
        frames: number of frames.
        taken: names of the three that are used, by ascending exposure.
        stops: of these, relative to the shortest exposure, from the exposure file.
        measured_stops: the same from the pixels, see :func:`apnt.prepare.brightness.measured_stops`.
        size: (width, height) of the frames.
        bits: depth of the frames.
        truth_max: largest value of the truth.
        truth_clipped: share of its pixels with a channel at that value.
        truth_above_1: share of its pixels with a channel above 1.
        truth_scale: brightness relative to the reference frame's radiance, see ``measured_truth_scale``.
    """

    name: str
    split: Split | None
    frames: int
    taken: tuple[str, ...] | None = None
    stops: tuple[float, float, float] | None = None
    measured_stops: tuple[float, ...] | None = None
    size: tuple[int, int] | None = None
    bits: int | None = None
    truth_max: float | None = None
    truth_clipped: float | None = None
    truth_above_1: float | None = None
    truth_scale: float | None = None


@dataclass(frozen=True)
class Report:
    """Result of :func:`validate`.

    Attributes:
        folder: of the data set.
        layout: of its scenes; None where none was recognised.
        scenes: one entry a scene.
        findings: all problems, in the order of the scenes.
        unexpected: files that do not belong to the layout.
    """

    folder: Path
    layout: Layout | None
    scenes: list[SceneReport]
    findings: list[Finding]
    unexpected: list[Path] = field(default_factory=list)

    @property
    def unusable(self) -> set[str]:
        """Names of the scenes that cannot be used."""
        return {f.scene for f in self.findings if f.level == "unusable" and f.scene is not None}

    @property
    def good(self) -> bool:
        """Whether everything can be used; odd findings do not count."""
        return not any(finding.level == "unusable" for finding in self.findings)

    def count(self, values: Iterable[Any]) -> list[tuple[Any, int]]:
        """How often each value occurs, None left out, most frequent first."""
        return Counter(value for value in values if value is not None).most_common()

    def as_json(self) -> dict[str, Any]:
        """The report as JSON types; paths are relative to the folder."""
        layout = None
        if self.layout is not None:
            layout = {
                "name": self.layout.name,
                "title": self.layout.title,
                "exposure_file": self.layout.exposures,
                "exposure_unit": self.layout.unit,
                "truth": self.layout.truth,
            }
        return {
            "format": FORMAT,
            "folder": str(self.folder),
            "layout": layout,
            "good": self.good,
            "count": len(self.scenes),
            "usable": len(self.scenes) - len(self.unusable),
            "splits": {
                split or "none": n for split, n in Counter(scene.split for scene in self.scenes).items()
            },
            "exposures": [
                {"stops": list(stops), "ratios": [float(2**s) for s in stops], "scenes": n}
                for stops, n in self.count(scene.stops for scene in self.scenes)
            ],
            "unexpected_files": [path.relative_to(self.folder).as_posix() for path in self.unexpected],
            "findings": [asdict(finding) for finding in self.findings],
            "scenes": [asdict(scene) for scene in self.scenes],
        }


def validate(
    root: str | Path, layout: str | None = None, progress: Callable[[int, int], None] = lambda done, of: None
) -> Report:
    """Read every file of a data set and report.

    Args:
        root: its folder.
        layout: name out of ``apnt.data.layouts.LAYOUTS``; None recognises it.
        progress: called with the number of scenes that are done and the number of all.

    Returns:
        The report; the report of a folder in no known layout has one finding.

    Raises:
        InputError: no such folder, or no such layout name.
    """
    root = Path(root)
    try:
        found = find_scenes(root, layout)
    except InputError as error:
        if not root.is_dir() or layout is not None:
            raise
        return Report(root, None, [], [Finding("unusable", "layout", None, str(error))])
    findings: list[Finding] = []
    scenes = []
    progress(0, len(found.scenes))
    for number, scene in enumerate(found.scenes, 1):
        scenes.append(_checked(scene, root, findings))
        progress(number, len(found.scenes))
    findings += _findings_of_set(found, scenes)
    unexpected = [path for scene in found.scenes for path in scene.unexpected]
    return Report(root, found.layout, scenes, findings, [*unexpected, *found.unexpected])


def _checked(scene: Scene, root: Path, findings: list[Finding]) -> SceneReport:
    """The report of one scene, also of one that memory does not suffice for."""
    check = _SceneCheck(scene, root, findings)
    try:
        with explained(f"checking {scene.name}", SMALLER):
            return check.check()
    except MemoryError as error:  # one huge file never ends the work on a set
        check.add("unusable", "memory", str(error))
        return SceneReport(scene.name, scene.split, len(scene.frames))


class _SceneCheck:
    """Reads the files of one scene once, and adds its problems to the findings."""

    def __init__(self, scene: Scene, root: Path, findings: list[Finding]):
        self.scene, self.root, self.findings = scene, root, findings

    def add(self, level: Level, code: str, message: str) -> None:
        """Add a finding; paths in its message become relative to the data set's folder."""
        relative = message.replace(f"{self.root}/", "")
        self.findings.append(Finding(level, code, self.scene.name, relative))

    def check(self) -> SceneReport:
        """Check all files of the scene."""
        scene = self.scene
        known: dict[str, Any] = {}
        problems = scene_problems(scene, need_truth=True)
        for problem in problems:
            self.add("unusable", problem.code, problem.message)
        frames = self.frames(known)
        exposures = None
        if not any(problem.code != "truth-missing" for problem in problems):
            exposures = scene_exposures(scene)
        if exposures is not None:
            known["taken"] = tuple(scene.frames[n].name for n in exposures.taken)
            known["stops"] = tuple(round(float(s), 4) for s in np.log2(exposures.times))
            if not exposures.in_order:
                message = "exposures do not ascend with the frames' names: the exposures give the order"
                self.add("odd", "frame-order", message)
        reference = time = None
        if frames and exposures is not None:
            three = np.stack([frames[n] for n in exposures.taken])
            self.exposures(three, exposures, known)
            reference, time = three[_REFERENCE], float(exposures.times[_REFERENCE])
        elif frames:
            reference = frames[len(frames) // 2]
            if scene.layout.unit is None and len(frames) >= 3:
                three = np.stack([frames[n] for n in scene.layout.positions(len(frames))])
                self.measure(three[np.argsort(three.mean(axis=(1, 2, 3)))], known)
        if scene.truth is not None:
            self.truth(scene.truth, reference, time, known)
        return SceneReport(scene.name, scene.split, len(scene.frames), **known)

    def frames(self, known: dict[str, Any]) -> list[np.ndarray]:
        """Read all frames, even unused ones; an empty list where one is damaged or of another size."""
        images: list[np.ndarray] = []
        readable = True
        depths = set()
        for path in (*self.scene.frames, *self.scene.static):
            try:
                image = read_photo(path)
            except (InputError, MemoryError) as error:  # one bad file never ends the work on a set
                self.add("unusable", "frame-unreadable", str(error))
                readable = False
                continue
            depths.add(_bits(path))
            images.append(image)
        sizes = sorted({(image.shape[1], image.shape[0]) for image in images})
        if len(sizes) > 1:
            listed = " and ".join(f"{w} x {h}" for w, h in sizes)
            self.add("unusable", "frame-sizes", f"{self.scene.folder} holds frames of {listed} pixels")
            return []
        if images:
            known["size"] = sizes[0]
            known["bits"] = min(depths)
            if known["bits"] < self.scene.layout.bits:
                self.add("odd", "depth", f"frames have {min(depths)} bits, not {self.scene.layout.bits}")
        static = self.scene.static
        if static and len(static) != len(self.scene.frames):
            self.add("odd", "static-count", f"the static stack has {len(static)} frames")
        return images[: len(self.scene.frames)] if readable else []

    def measure(self, three: np.ndarray, known: dict[str, Any]) -> tuple[float, ...] | None:
        """Measure the stops of three frames by their pixels."""
        measured = measured_stops(three)
        if measured is not None:
            known["measured_stops"] = tuple(round(s, 2) for s in (0.0, *measured))
        return measured

    def exposures(self, three: np.ndarray, exposures: Exposures, known: dict[str, Any]) -> None:
        """Compare the exposure file with the pixels."""
        names = [self.scene.frames[n].name for n in exposures.taken]
        for one, two in combinations(range(len(three)), 2):
            if np.array_equal(three[one], three[two]):
                self.add("unusable", "frames-equal", f"{names[one]} and {names[two]} are the same picture")
                return
        measured = self.measure(three, known)
        if measured is None:
            return
        stated = np.log2(exposures.times)[1:]
        if np.abs(stated - measured).max() <= _STOPS_TOLERANCE:
            return
        message = f"the file says 0, {stated[0]:.3g}, {stated[1]:.3g} stops, the pixels 0, "
        message += f"{measured[0]:.2g}, {measured[1]:.2g}"
        other = _other_unit([exposures.values[n] for n in exposures.taken], self.scene.layout)
        if other is not None and np.abs(other - measured).max() <= _STOPS_TOLERANCE:
            unit = "seconds" if self.scene.layout.unit == "stops" else "stops"
            self.add("unusable", "exposure-unit", f"{message}: {self.scene.exposures} seems to hold {unit}")
        else:
            self.add("odd", "exposure-misfit", message)

    def truth(
        self, path: Path, reference: np.ndarray | None, time: float | None, known: dict[str, Any]
    ) -> None:
        """Check the truth alone, then against the reference frame."""
        try:
            truth = read_radiance(path)
        except (InputError, MemoryError) as error:
            self.add("unusable", "truth-unreadable", str(error).removeprefix("path "))
            return
        largest = float(truth.max())
        brightest = truth.max(axis=-1)
        known["truth_max"] = round(largest, 4)
        known["truth_clipped"] = round(float((brightest == largest).mean()), 4)
        known["truth_above_1"] = round(float((brightest > _ABOVE).mean()), 4)
        if largest == 0:
            self.add("unusable", "truth-black", f"{path} is black")
            return
        if known["truth_clipped"] > _CLIPPED and largest < 1 / _ABOVE:
            share = f"{known['truth_clipped']:.1%} of its pixels lie at its maximum, {plain(largest, 3)}"
            message = f"truth is clipped below the shortest exposure's saturation: {share}"
            self.add("odd", "truth-clipped", message)
        if known["truth_above_1"] > 0:
            share = f"{known['truth_above_1']:.1%} of its pixels, up to {plain(largest, 3)}"
            self.add("odd", "truth-above-1", f"truth lies above 1 in {share}: it is clipped when it is read")
        if reference is None:
            return
        if truth.shape != reference.shape:
            sizes = [f"{image.shape[1]} x {image.shape[0]}" for image in (truth, reference)]
            self.add("unusable", "truth-size", f"{path} has {sizes[0]} pixels, the frames {sizes[1]}")
            return
        scale = None if time is None else measured_truth_scale(truth, reference, time)
        if scale is None:
            return
        known["truth_scale"] = round(scale, 3)
        if abs(np.log2(max(scale, 1e-9))) > _SCALE_TOLERANCE:
            usable = 1 / LARGEST_MISFIT < scale < LARGEST_MISFIT
            message = (
                f"truth is {plain(scale, 3)} times as bright as the frames at the shortest exposure's scale"
            )
            if not usable:
                message += ": check the exposures"
                message += f", or use truth_scale={plain(1 / scale, 3)}" if scale > 0 else ""
            self.add("odd" if usable else "unusable", "truth-scale", message)


def _findings_of_set(found: Found, scenes: list[SceneReport]) -> list[Finding]:
    """Problems that concern all scenes together."""
    findings = []
    layout = found.layout
    sizes = Counter(scene.size for scene in scenes if scene.size is not None)
    for size, number in sizes.items():
        if layout.size is not None and size != layout.size:
            published, here = (f"{width} x {height}" for width, height in (layout.size, size))
            message = f"frames have {here} pixels in {scenes_in_words(number)}, {published} were published"
            findings.append(Finding("odd", "size", None, message))
    if layout.size is None and len(sizes) > 1:
        listed = ", ".join(f"{w} x {h} ({n})" for (w, h), n in sizes.most_common())
        findings.append(Finding("odd", "size", None, f"scenes differ in size: {listed}"))
    splits = Counter(scene.split for scene in scenes)
    names = {"train": "training", "test": "test"}
    if None not in splits:
        for split, number in layout.published.items():
            if splits[split] and splits[split] != number:
                message = f"{names[split]} scenes: {splits[split]} here, {number} published"
                findings.append(Finding("odd", "count", None, message))
    for folder in found.without_scene:
        name = folder.relative_to(found.root).as_posix()
        problem = "holds no scene" if any(folder.iterdir()) else "is empty"
        findings.append(Finding("odd", "stray-folder", name, f"the folder {name} {problem}"))
    return findings


def scenes_in_words(number: int) -> str:
    """``"1 scene"``, ``"2 scenes"``."""
    return "1 scene" if number == 1 else f"{number} scenes"


def _other_unit(values: list[float], layout: Layout) -> np.ndarray | None:
    """Stops of the second and the third frame if the file held the other unit; None where it cannot."""
    numbers = np.array(values)
    if layout.unit == "stops":
        if (numbers <= 0).any():
            return None
        numbers = np.log2(numbers)
    return numbers[1:] - numbers[0]


def _bits(path: Path) -> int:
    """Bits a channel of a photograph that is readable."""
    with path.open("rb") as file:
        head = file.read(25)
    if head[:2] in (b"II", b"MM"):
        with tifffile.TiffFile(path) as tiff:
            return int(tiff.pages.first.bitspersample)
    return 16 if head.startswith(b"\x89PNG") and head[24:] == b"\x10" else 8
