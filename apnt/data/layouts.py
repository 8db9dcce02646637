"""The layouts of captured data sets: the files of a scene, and the units of their exposure files."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from apnt.errors import InputError
from apnt.io.inputs import no_folder

Split = Literal["train", "test", "val"]


@dataclass(frozen=True)
class Layout:
    """The files of every scene folder of a data set; file names are compared in lower case.

    Attributes:
        name: in options and JSON.
        title: in texts for people.
        frames: pattern of the exposures' file names; sorted by name, their exposures ascend.
        example: such a name.
        exposures: name of the exposure file, one number a frame in the order of the names; None = no times.
        unit: of those numbers: log2 stops, or linear seconds.
        truth: name of the HDR image at the reference frame's moment, whose 1.0 is the saturation of the
            shortest exposure; None = no truth.
        static: pattern of a second stack of the same scene in which nothing moves.
        count: number of frames of a scene; None = three or more.
        take: which three are used where there are more, counted by ascending exposure from 1; None = the
            first, the middle and the last.
        bits: depth of the frames as published.
        size: (width, height) as published.
        published: number of scenes in each split as published.
        least: number of frames below which a folder is not recognised as a scene of this layout.
    """

    name: str
    title: str
    frames: str
    example: str
    exposures: str | None
    unit: Literal["stops", "seconds"] | None
    truth: str | None
    static: str | None = None
    count: int | None = 3
    take: tuple[int, int, int] | None = None
    bits: int = 16
    size: tuple[int, int] | None = None
    published: Mapping[Split, int] = field(default_factory=dict)
    least: int = 1

    @property
    def promised(self) -> tuple[str, ...]:
        """Lower-case names of the files that every scene has beside its frames."""
        return tuple(name.lower() for name in (self.exposures, self.truth) if name is not None)

    def positions(self, count: int) -> tuple[int, int, int]:
        """Which three of ``count`` frames, sorted by ascending exposure, are used; from 0."""
        if count > 3 and self.take is not None:
            first, second, third = (n - 1 for n in self.take)
            return first, second, third
        return 0, count // 2, count - 1


_KALANTARI: Mapping[Split, int] = {"train": 74, "test": 15}

LAYOUTS = {
    layout.name: layout
    for layout in (
        Layout(
            name="deephdr",
            title="DeepHDR (Kalantari and Ramamoorthi 2017)",
            frames=r"(?!input_|ref_).*\.tiff?",
            example="262A0898.tif",
            exposures="exposure.txt",
            unit="stops",
            truth="HDRImg.hdr",
            size=(1500, 1000),
            published=_KALANTARI,
        ),
        Layout(
            name="deephdr-oxford",
            title="DeepHDR, Oxford mirror",
            frames=r"input_\d+_aligned\.tif",
            example="input_1_aligned.tif",
            exposures="input_exp.txt",
            unit="stops",
            truth="ref_hdr_aligned.hdr",
            static=r"ref_\d+_aligned\.tif",
            size=(1500, 1000),
            published=_KALANTARI,
        ),
        Layout(
            name="tel2023",
            title="Tel 2023",
            frames=r"input_\d+\.tif",
            example="input_1.tif",
            exposures="exposure.txt",
            unit="stops",
            truth="HDRImg.hdr",
        ),
        Layout(
            name="hu2020",
            title="Hu 2020",
            frames=r"input_\d+_aligned\.tif",
            example="input_1_aligned.tif",
            exposures="input_exp.txt",
            unit="stops",
            truth="ref_hdr_aligned_linear.hdr",
            published={"train": 85, "test": 15},
        ),
        Layout(
            name="sen2012",
            title="Sen 2012",
            frames=r".*\.tif",
            example="*.tif",
            exposures="exposures.txt",
            unit="stops",
            truth=None,
            count=None,
        ),
        Layout(
            name="tursun2016",
            title="Tursun 2016",
            frames=r".*\.tiff",
            example="1.tiff",
            exposures="exposure.txt",
            unit="seconds",
            truth=None,
            count=9,
            take=(5, 7, 9),
            least=4,
        ),
        Layout(
            name="mef-opt",
            title="MEF-Opt",
            frames=r"\d+\.(png|jpe?g|tiff?)",
            example="1.png",
            exposures=None,
            unit=None,
            truth=None,
            count=None,
            bits=8,
            least=2,
        ),
    )
}
"""Name -> layout."""


@dataclass(frozen=True)
class Scene:
    """The files of one scene; none has been opened yet.

    Attributes:
        name: its folder relative to the data set's, with forward slashes.
        folder: of its files.
        layout: of its files.
        split: "train", "test", "val", or None where no folder is named like one.
        frames: the exposures, sorted by name.
        exposures, truth: None where the file is missing.
        static: the static stack, sorted by name; empty where there is none.
        unexpected: other files in the folder.
    """

    name: str
    folder: Path
    layout: Layout
    split: Split | None
    frames: tuple[Path, ...]
    exposures: Path | None
    truth: Path | None
    static: tuple[Path, ...]
    unexpected: tuple[Path, ...]


@dataclass(frozen=True)
class Found:
    """The scenes and the other content of a folder.

    Attributes:
        root: the folder.
        layout: of its scenes.
        scenes: sorted by name, numbers by value.
        without_scene: folders beside scenes that hold no scene.
        unexpected: files that belong to no scene.
    """

    root: Path
    layout: Layout
    scenes: tuple[Scene, ...]
    without_scene: tuple[Path, ...]
    unexpected: tuple[Path, ...]


_DEEPEST = 5  # levels of folders that are searched below the root
_SPLITS: dict[Split, tuple[str, ...]] = {
    "train": ("train", "training"),
    "test": ("test", "testing", "extra", "paper"),  # the two halves of DeepHDR's test scenes
    "val": ("val", "validation"),
}


def layout_named(name: str) -> Layout:
    """The layout of that name, or an InputError that lists them."""
    if name not in LAYOUTS:
        raise InputError(f"layout must be one of {', '.join(LAYOUTS)}, got {name!r}")
    return LAYOUTS[name]


def find_scenes(root: str | Path, layout: str | None = None) -> Found:
    """Recognise the layout of a data set from the names of its files and list its scenes.

    Scene folders may lie at any depth down to five, in ``Training``, ``Test/EXTRA`` and the like or flat, and
    ``root`` may be a scene itself. Hidden files and folders are ignored.

    Args:
        root: folder of the data set.
        layout: name out of ``LAYOUTS``; None recognises it.

    Raises:
        InputError: no folder, no layout that fits, or more than one.
    """
    root = Path(root)
    if not root.is_dir():
        why = no_folder(root)
        raise InputError(f"data must be a folder with a data set, and {root} {why}: check the path")
    folders = {folder: _files(folder) for folder in _walk(root, _DEEPEST)}
    chosen = _recognise(root, folders) if layout is None else layout_named(layout)
    places = [folder for folder, files in folders.items() if _is_scene(chosen, files)]
    if not places:
        raise InputError(f"data must hold scenes of {chosen.title}, and {root} has none: {_in_words(chosen)}")
    scenes = tuple(_scene(root, folder, chosen, folders[folder]) for folder in sorted(places, key=_natural))
    parents = {place.parent for place in places if place != root}
    inner = {parent for place in places for parent in place.parents}
    others = sorted(set(folders) - set(places), key=_natural)
    without_scene = tuple(
        f for f in others if f.parent in parents and f not in inner and f.parent not in places
    )
    unexpected = tuple(path for f in others for path in folders[f].values())
    return Found(root, chosen, scenes, without_scene, unexpected)


def _recognise(root: Path, folders: Mapping[Path, Mapping[str, Path]]) -> Layout:
    """The one layout whose scenes the folders hold.

    Raises:
        InputError: no layout, or scenes of more than one.
    """
    named = [layout for layout in LAYOUTS.values() if layout.exposures is not None]
    # Complete scenes decide. Where all are damaged, fewer files have to be there.
    for complete in (True, False):
        votes = {
            layout.name: sum(_resembles(layout, files, complete) for files in folders.values())
            for layout in named
        }
        fitting = [name for name, count in votes.items() if count]
        if len(fitting) == 1:
            return LAYOUTS[fitting[0]]
        if fitting:
            counts = ", ".join(f"{votes[name]} like {LAYOUTS[name].title} ({name})" for name in fitting)
            raise InputError(
                f"data must hold scenes of one layout, and {root} has {counts}: give the folder of one of "
                "them, or say which layout it is"
            )
    numbered = LAYOUTS["mef-opt"]
    if any(_resembles(numbered, files, True) for files in folders.values()):
        return numbered
    raise InputError(
        f"data must hold scenes in a known layout, and {root} has none, or too little of any to tell which: "
        + "; ".join(f"{layout.title}: {_in_words(layout)}" for layout in LAYOUTS.values())
    )


def _resembles(layout: Layout, files: Mapping[str, Path], complete: bool) -> bool:
    """Whether a folder's files are those of a scene: all kinds of files, or frames and one other kind."""
    frames = _matching(layout.frames, files)
    promised = layout.promised
    present = [name in files for name in promised]
    if len(frames) < layout.least:
        return False
    return all(present) if complete or not promised else any(present)


def _is_scene(layout: Layout, files: Mapping[str, Path]) -> bool:
    """Whether a folder is a scene of a known layout, even a damaged one."""
    if any(name in files for name in layout.promised):
        return True
    frames = len(_matching(layout.frames, files))
    return frames == layout.count if layout.count is not None else frames >= layout.least


def _scene(root: Path, folder: Path, layout: Layout, files: Mapping[str, Path]) -> Scene:
    frames = _matching(layout.frames, files)
    static = _matching(layout.static, files) if layout.static is not None else ()
    exposures = files.get((layout.exposures or "").lower())
    truth = files.get((layout.truth or "").lower())
    used = {*frames, *static, exposures, truth}
    relative = folder.relative_to(root)
    return Scene(
        name=relative.as_posix() if folder != root else folder.resolve().name,
        folder=folder,
        layout=layout,
        split=_split((root.resolve().name, *relative.parts)),
        frames=frames,
        exposures=exposures,
        truth=truth,
        static=static,
        unexpected=tuple(path for path in files.values() if path not in used),
    )


def _split(parts: Sequence[str]) -> Split | None:
    """The split of the innermost folder named like one, such as Test-set or SIGGRAPH17_HDR_Trainingset."""
    for part in reversed(parts):
        word = "".join(re.findall("[a-z]", part.lower()))
        for split, names in _SPLITS.items():
            if word in names or word.endswith(f"{names[0]}set") or word.endswith(f"{names[1]}set"):
                return split
    return None


def _walk(folder: Path, depth: int) -> list[Path]:
    """The folder and all folders below it but hidden ones."""
    found = [folder]
    if depth:
        for path in sorted(folder.iterdir()):
            if path.is_dir() and not path.name.startswith((".", "__")):
                found += _walk(path, depth - 1)
    return found


def _files(folder: Path) -> dict[str, Path]:
    """Lower-case name -> file, sorted by name, without hidden files."""
    files = [p for p in folder.iterdir() if not p.name.startswith(".") and p.is_file()]
    return {path.name.lower(): path for path in sorted(files, key=_natural)}


def _matching(pattern: str, files: Mapping[str, Path]) -> tuple[Path, ...]:
    return tuple(path for name, path in files.items() if re.fullmatch(pattern, name))


def _natural(path: Path) -> list[tuple[int, str]]:
    """A sort key that puts 2.tif before 10.tif."""
    return [
        (int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", str(path).lower())
    ]


def _in_words(layout: Layout) -> str:
    """The files of a scene, in words."""
    count = "three or more" if layout.count is None else str(layout.count)
    return ", ".join(filter(None, (f"{count} frames like {layout.example}", layout.exposures, layout.truth)))
