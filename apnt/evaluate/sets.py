"""The sets of brackets that can be evaluated: some by name, and every data set with truth by its folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from apnt.bracket import Bracket
from apnt.errors import InputError
from apnt.io.inputs import no_folder

VAL_V2 = "val-v2"


def has_conditions(name: str) -> bool:
    """Whether the brackets of a set are called ``<condition>/<scene>``."""
    return name.partition(":")[0] in (VAL_V2, f"{VAL_V2}-large")


def load_set(name: str, data: str | Path | None = None) -> tuple[Iterable[Bracket], int]:
    """The brackets of a set, made or read one at a time, and how many there are.

    Args:
        name: one of ``SETS``, ``val-v2:`` and conditions separated by commas, or the folder of a data set in
            a layout that docs/data.md lists: of that, the test scenes, or all where none are marked as such.
            Every scene has to be whole, because means over fewer scenes do not compare.
        data: the folder that a named set is made from; None = what the set itself falls back to.

    Raises:
        InputError: no such set, its files are not there, or a scene cannot be used.
    """
    if name in SETS:
        return SETS[name](data)
    if name.startswith(f"{VAL_V2}:"):
        return _val_v2(data, name.removeprefix(f"{VAL_V2}:").split(","))
    if not Path(name).is_dir():
        why = no_folder(name)
        raise InputError(
            f"set must be one of {', '.join(SETS)} or the folder of a data set, got {name!r}, which {why}"
        )
    if data is not None:
        raise InputError(f"data must be left out where set is a folder, {name!r}, got {data}")
    return _folder(Path(name))


def _folder(folder: Path) -> tuple[Iterable[Bracket], int]:
    from apnt.data.captured import open_dataset
    from apnt.data.layouts import find_scenes

    splits = {scene.split for scene in find_scenes(folder).scenes}
    brackets = open_dataset(folder, "test" if "test" in splits else None, need_truth=True)
    return brackets, len(brackets)


def _val_v1(data: str | Path | None) -> tuple[Iterable[Bracket], int]:
    from apnt.data.val_v1 import SCENES, val_v1

    return val_v1(data), 2 * len(SCENES)


def _val_v2(
    data: str | Path | None, conditions: Sequence[str] | None = None
) -> tuple[Iterable[Bracket], int]:
    from apnt.data.val_v2 import val_v2

    return val_v2(data, conditions)


def _val_v2_large(data: str | Path | None) -> tuple[Iterable[Bracket], int]:
    """The brackets of 3 and 12 megapixels."""
    from apnt.data.val_v2 import LARGE

    return _val_v2(data, list(LARGE))


def _procedural(data: str | Path | None) -> tuple[Iterable[Bracket], int]:
    """Six procedural scenes of 320x480 pixels, 2 and 3 stops between exposures in turn; made, not read."""
    from apnt.data.procedural import procedural_bracket

    if data is not None:
        raise InputError(f"data must be left out where set is procedural, which needs none, got {data}")
    count = 6
    return (procedural_bracket(seed, 320, 480, stops=2 + seed % 2) for seed in range(count)), count


SETS: dict[str, Callable[[str | Path | None], tuple[Iterable[Bracket], int]]] = {
    "val-v1": _val_v1,
    VAL_V2: _val_v2,
    f"{VAL_V2}-large": _val_v2_large,
    "procedural": _procedural,
}
