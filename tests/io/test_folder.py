"""Folders and patterns: which files are frames of the bracket, and in which order."""

from __future__ import annotations

import json
import math
import os
import re
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from apnt.errors import InputError
from apnt.io import write_preview, write_radiance
from apnt.io.folder import find_photographs
from apnt.io.frames import read_photographs
from apnt.io.preview import write_picture

RADIANCE = np.full((20, 24, 3), 0.25, np.float32)


def photograph(path: Path, level: int = 120, **options: object) -> Path:
    Image.new("RGB", (24, 20), (level,) * 3).save(path, **options)
    return path


def names(listing: object) -> list[str]:
    return [path.name for path in listing.paths]  # type: ignore[attr-defined]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, level in ((1, 60), (2, 120), (3, 200)):
        photograph(tmp_path / f"{number}.png", level)
    return tmp_path


@pytest.mark.parametrize("name", ["look.jpg", "look.png", "scene_preview.jpeg"])
def test_a_preview_among_the_photographs_is_left_out(folder: Path, name: str) -> None:
    write_preview(folder / name, RADIANCE)
    found = find_photographs([folder])
    assert names(found) == ["1.png", "2.png", "3.png"]
    assert [path.name for path in found.left_out] == [name]
    photographs, _ = read_photographs(folder)
    assert f"Left out of the folder, because apnt wrote it: {name}." in photographs[0].notes
    with pytest.raises(InputError, match=rf"{name} was written by apnt: leave it out"):
        find_photographs([folder / "1.png", folder / "2.png", folder / name])
    with pytest.raises(InputError, match=rf"{name} was written by apnt: leave it out"):
        find_photographs([str(folder / "*")])


@pytest.mark.parametrize("name", ["a.exr", "a.hdr", "a.tif", "a.tiff"])
def test_results_among_the_photographs_are_left_out(folder: Path, name: str) -> None:
    write_radiance(folder / name, RADIANCE)
    write_picture(folder / "a_preview.png", np.full((20, 24, 3), 90, np.uint8))
    (folder / "a.json").write_text(json.dumps({"output": name}))
    (folder / "camera.toml").write_text("format = 1\n")
    (folder / ".apnt-0123.png").write_bytes((folder / "1.png").read_bytes())  # of a run that was killed
    assert names(find_photographs([folder])) == ["1.png", "2.png", "3.png"]


def test_a_preview_of_an_older_version_is_known_by_what_it_lies_beside(folder: Path) -> None:
    photograph(folder / "scene_preview.jpg")
    assert len(find_photographs([folder]).paths) == 4
    write_radiance(folder / "scene.exr", RADIANCE)
    assert names(find_photographs([folder])) == ["1.png", "2.png", "3.png"]


def test_photographs_of_other_software_stay(folder: Path) -> None:
    for number, software in enumerate(("darktable 5.0", "Capntain 1", "apntools 3", "")):
        exif = Image.Exif()
        exif[0x0131] = software
        photograph(folder / f"{4 + number}.jpg", exif=exif)
    assert len(find_photographs([folder]).paths) == 7


def test_a_folder_of_own_pictures_alone(tmp_path: Path) -> None:
    write_preview(tmp_path / "look.jpg", RADIANCE)
    with pytest.raises(InputError, match=r"holds none but look\.jpg, which apnt wrote"):
        find_photographs([tmp_path])
    for n in range(4):
        write_preview(tmp_path / f"more{n}.jpg", RADIANCE)
    found = r"holds none but look\.jpg, more0\.jpg, more1\.jpg and 2 more, which apnt wrote"
    with pytest.raises(InputError, match=found):
        find_photographs([tmp_path])


def test_a_folder_of_folders_names_them_and_batch(folder: Path) -> None:
    card = folder / "card"
    (card / "b1").mkdir(parents=True)
    (card / ".hidden").mkdir()
    (card / "notes.txt").write_text("text")
    found = f"the folder {card} holds none, but a folder (b1): name it; apnt batch {card} -o RESULTS fuses"
    with pytest.raises(InputError, match=re.escape(found)):
        find_photographs([card])
    for name in ("b10", "b2", "b3"):
        (card / name).mkdir()
    found = (
        f"the folder {card} holds none, but folders (b1, b2, b3, ...): name one of them; apnt batch {card}"
    )
    with pytest.raises(InputError, match=re.escape(found)):
        find_photographs([card])
    photograph(card / "1.png")  # then folders beside it are nothing to speak of
    assert names(find_photographs([card])) == ["1.png"]


@pytest.mark.parametrize("how", ["folder", "pattern"])
def test_numbers_in_names_count_by_value(tmp_path: Path, how: str) -> None:
    for name in ("10.png", "2.png", "1.png", "b12.png", "b2a.png", "b2.png", "02.png"):
        photograph(tmp_path / name)
    found = find_photographs([tmp_path if how == "folder" else str(tmp_path / "*.png")])
    assert names(found) == ["1.png", "02.png", "2.png", "10.png", "b2.png", "b2a.png", "b12.png"]


def test_a_photograph_in_two_formats_is_named(tmp_path: Path) -> None:
    for name in ("IMG_1.JPG", "IMG_2.JPG"):
        photograph(tmp_path / name)
    for name in ("IMG_1.dng", "IMG_2.dng"):
        tifffile.imwrite(tmp_path / name, np.zeros((20, 24), np.uint16))
    with pytest.raises(InputError, match=r"holds both IMG_1.JPG and IMG_1.dng: name one kind .*\*\.JPG"):
        find_photographs([tmp_path])
    assert names(find_photographs([str(tmp_path / "*.JPG")])) == ["IMG_1.JPG", "IMG_2.JPG"]


def test_a_file_counts_once(folder: Path) -> None:
    first, link = folder / "1.png", folder / "again.png"
    with pytest.raises(InputError, match=r"1.png is named twice: leave one out"):
        read_photographs([first, folder / "2.png", first])
    with pytest.raises(InputError, match=r"1.png and .*1.png are one file: leave one out"):
        read_photographs([folder / ".." / folder.name / "1.png", folder / "2.png", first])
    link.symlink_to(first)
    for images in (folder, [first, link]):
        with pytest.raises(InputError, match=r"1.png and .*again.png are one file: leave one out"):
            read_photographs(images)


def test_links_to_photographs_are_photographs(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    links = tmp_path_factory.mktemp("links")
    for path in folder.iterdir():
        (links / path.name).symlink_to(path)
    assert names(find_photographs([links])) == ["1.png", "2.png", "3.png"]
    (links / "gone.png").symlink_to(folder / "missing.png")
    with pytest.raises(InputError, match=r"gone\.png does not exist: check the path; move it out of"):
        find_photographs([links])


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("4.png", bytes(100_000), "is no image, or cut off at its start"),
        ("4.JPG", b"", "is empty"),
        ("4.tif", b"GIF89a", "is a GIF image"),
        ("4.cr2", b"text", None),
        ("4.txt", b"text", None),
        ("4", bytes(10), None),
        ("4.exr", b"\x76\x2f\x31\x01", None),
    ],
)
def test_a_damaged_photograph_is_not_left_out_in_silence(
    folder: Path, name: str, content: bytes, reason: str | None
) -> None:
    (folder / name).write_bytes(content)
    if reason is None:
        assert names(find_photographs([folder])) == ["1.png", "2.png", "3.png"]
        return
    said = rf"images must be photographs, and {re.escape(str(folder / name))} {reason}.*; move it out of"
    with pytest.raises(InputError, match=said):
        find_photographs([folder])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes")
def test_a_pipe_among_photographs_is_not_opened(folder: Path) -> None:
    os.mkfifo(folder / "4.png")
    with pytest.raises(InputError, match=r"4\.png must be a file, and it is a pipe"):
        find_photographs([folder])


def test_a_damaged_file_of_the_others_kind(folder: Path) -> None:
    for path in folder.iterdir():
        path.rename(path.with_suffix(".arw"))
    (folder / "4.arw").write_bytes(bytes(100))
    with pytest.raises(InputError, match=r"4\.arw is no image"):
        find_photographs([folder])


@pytest.mark.parametrize(
    ("content", "stops"),
    [
        ({"ev_stops": [0, None, 4]}, [0, math.nan, 4]),
        ({"times": [None, 4, 16]}, [math.nan, 2, 4]),
        ({"ev_stops": [None, None, None]}, None),
        ({"ev_stops": None, "times": None}, None),
        ({}, None),
    ],
)
def test_exposures_of_a_sidecar_that_are_not_known(
    folder: Path, content: dict[str, object], stops: list[float] | None
) -> None:
    files = ["1.png", "2.png", "3.png"]
    (folder / "bracket.json").write_text(json.dumps({"files_short_to_long": files, **content}))
    found = find_photographs([folder])
    assert names(found) == files
    if stops is None:
        assert found.stops is None
    else:
        np.testing.assert_array_equal(found.stops, stops)
