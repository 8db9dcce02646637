"""Radiance and previews on disk: values, formats, and files that are whole or untouched."""

from __future__ import annotations

import os
import resource
import signal
import stat
from pathlib import Path

import cv2
import numpy as np
import OpenEXR
import pytest
import tifffile
from PIL import Image

from apnt import render
from apnt.errors import InputError
from apnt.io import (
    PREVIEW_SUFFIXES,
    RADIANCE_SUFFIXES,
    atomic_path,
    check_output,
    files,
    tone_map,
    write_preview,
    write_radiance,
)
from apnt.io.files import remove_unfinished

RADIANCE = np.random.default_rng(0).random((20, 30, 3), dtype=np.float32) ** 4


def read(path: Path) -> np.ndarray:
    if path.suffix == ".exr":
        channels = OpenEXR.File(str(path), separate_channels=True).channels()
        return np.stack([channels[name].pixels for name in "RGB"], axis=-1)
    if path.suffix == ".hdr":
        return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)[..., ::-1]
    return tifffile.imread(path)


@pytest.mark.parametrize("name", ["a.exr", "a.tif", "a.TIFF", "a.hdr"])
def test_round_trip(tmp_path: Path, name: str) -> None:
    path = write_radiance(tmp_path / name, RADIANCE)
    assert path == tmp_path / name
    image = read(path)
    assert image.dtype == np.float32
    # RGBE: the channels share an exponent, so the step is at most 1/128 of the pixel's largest value.
    step = RADIANCE.max(-1, keepdims=True) / 128 if name == "a.hdr" else 0
    assert (np.abs(image - RADIANCE) <= step).all()
    assert os.listdir(tmp_path) == [name]


def test_exr_channels(tmp_path: Path) -> None:
    path = write_radiance(tmp_path / "a.exr", RADIANCE)
    file = OpenEXR.File(str(path), separate_channels=True)
    assert sorted(file.channels()) == ["B", "G", "R"]
    assert {channel.pixels.dtype for channel in file.channels().values()} == {np.dtype(np.float32)}
    assert file.header()["compression"] == OpenEXR.ZIP_COMPRESSION


def test_other_readers_agree_on_tiff(tmp_path: Path) -> None:
    path = write_radiance(tmp_path / "a.tif", RADIANCE)
    np.testing.assert_array_equal(cv2.imread(str(path), cv2.IMREAD_UNCHANGED)[..., ::-1], RADIANCE)


@pytest.mark.parametrize(
    ("radiance", "message"),
    [
        (np.zeros((20, 30, 4), np.float32), r"float with shape \(H, W, 3\), got float32 with \(20, 30, 4\)"),
        (np.zeros((20, 30, 3), np.uint8), "got uint8"),
        (np.zeros((0, 30, 3), np.float32), r"\(0, 30, 3\)"),
        (np.full((20, 30, 3), -1.0), "not negative, got -1 to -1"),
        (np.full((20, 30, 3), np.inf), "must be finite"),
        (np.full((20, 30, 3), np.nan), "must be finite"),
    ],
)
def test_bad_radiance(tmp_path: Path, radiance: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        write_radiance(tmp_path / "a.exr", radiance)
    with pytest.raises(InputError, match=message):
        write_preview(tmp_path / "a.png", radiance)
    assert os.listdir(tmp_path) == []


def broken_writer(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the library that writes this format fail when half of the file is there."""

    def half(path: str | Path, *_: object, **__: object) -> None:
        with open(path, "wb") as file:
            file.write(b"half")
        raise OSError(28, "No space left on device")

    def half_exr(_: object, path: str) -> None:
        with open(path, "wb") as file:
            file.write(b"half")
        raise RuntimeError("Failed to write pixel data. No space left on device.")

    if name.endswith(".exr"):
        monkeypatch.setattr(OpenEXR.File, "write", half_exr)
    elif name.endswith(".tif"):
        monkeypatch.setattr(tifffile, "imwrite", half)
    elif name.endswith(".hdr"):
        monkeypatch.setattr(cv2, "imwrite", half)
    else:
        monkeypatch.setattr("apnt.io.picture._write", half)
        monkeypatch.setattr(Path, "write_bytes", half)


@pytest.mark.parametrize("old", [None, b"old file"])
@pytest.mark.parametrize("name", ["a.exr", "a.tif", "a.hdr", "a.jpg", "a.png"])
def test_failed_write_leaves_nothing_half_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, old: bytes | None
) -> None:
    path = tmp_path / name
    if old is not None:
        path.write_bytes(old)
    broken_writer(name, monkeypatch)
    write = write_radiance if path.suffix in RADIANCE_SUFFIXES else write_preview
    with pytest.raises(OSError, match="No space left"):
        write(path, RADIANCE)
    assert os.listdir(tmp_path) == ([] if old is None else [name])
    assert old is None or path.read_bytes() == old


def test_interrupt_leaves_nothing_half_done(tmp_path: Path) -> None:
    def interrupted() -> None:
        with atomic_path(tmp_path / "a.exr") as temporary:
            temporary.write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert os.listdir(tmp_path) == []


def test_bytes_and_text_replace_a_file_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    files.write_bytes(path, b"old")
    files.write_text(path, "µ\n")
    assert path.read_bytes() == b"\xc2\xb5\n"
    broken_writer("a.txt", monkeypatch)
    with pytest.raises(OSError, match="No space left"):
        files.write_text(path, "new")
    assert path.read_bytes() == b"\xc2\xb5\n"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_folders_are_made_and_files_are_left_alone(tmp_path: Path) -> None:
    made = files.make_folder(tmp_path / "a" / "b")
    assert made.is_dir()
    assert files.make_folder(made) == made
    (tmp_path / "file").write_text("mine")
    for path in (tmp_path / "file", tmp_path / "file" / "below" / "it"):
        with pytest.raises(InputError, match=r"out must be a folder, and \S*file is a file"):
            files.make_folder(path)
    assert (tmp_path / "file").read_text() == "mine"


def test_replaced_file(tmp_path: Path) -> None:
    path = tmp_path / "a.exr"
    path.write_bytes(b"old file")
    write_radiance(path, RADIANCE)
    np.testing.assert_array_equal(read(path), RADIANCE)


def test_permissions_are_those_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"")
    for name in ("a.exr", "a.hdr", "a.tif"):
        mode = write_radiance(tmp_path / name, RADIANCE).stat().st_mode
        assert stat.S_IMODE(mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    link = tmp_path / "a.exr"
    link.symlink_to(tmp_path / "far" / "b.exr")
    write_radiance(link, RADIANCE)
    assert link.is_symlink()
    np.testing.assert_array_equal(read(tmp_path / "far" / "b.exr"), RADIANCE)


def test_output_checks(tmp_path: Path) -> None:
    source = tmp_path / "short.tif"
    source.write_bytes(b"input")
    link = tmp_path / "link.tif"
    link.symlink_to(source)
    for path, message in [
        (tmp_path, "is a directory: add a file name"),
        (tmp_path / "a.jpg", r"must end in \.hdr, \.exr, \.tif, \.tiff, got \S*a\.jpg"),
        (tmp_path / "a", "must end in"),
        (tmp_path / "missing" / "a.exr", "missing does not exist: create it"),
        (source / "a.exr", r"short\.tif is a file"),
        (source, "must not overwrite an input"),
        (link, "must not overwrite an input"),
    ]:
        with pytest.raises(InputError, match=message):
            check_output(path, RADIANCE_SUFFIXES, [source])
    with pytest.raises(InputError, match="preview must end in"):
        check_output(tmp_path / "a.exr", PREVIEW_SUFFIXES, name="preview")
    assert check_output(tmp_path / "A.EXR", RADIANCE_SUFFIXES, [source]) == tmp_path / "A.EXR"
    assert source.read_bytes() == b"input"


def test_folder_that_is_not_writable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files.os, "access", lambda path, mode: False)  # chmod does not stop root
    with pytest.raises(InputError, match=r"must be writable, and \S*a\.exr is not"):
        check_output(tmp_path / "a.exr", RADIANCE_SUFFIXES)


@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e-6, 1e6])
def test_preview_is_never_black(scale: float) -> None:
    rows = np.linspace(0, 10, 64, dtype=np.float32)[:, None, None]
    scene = np.exp2(-rows).repeat(48, 1).repeat(3, 2) * np.float32(scale)  # ten stops from top to bottom
    picture = tone_map(scene)
    assert picture.dtype == np.uint8
    assert picture.shape == scene.shape
    assert 80 < picture.mean() < 180
    assert picture[-6:].mean() > 20
    assert (np.diff(picture[:, 24, 0].astype(int)) <= 1).all()  # brighter stays brighter
    np.testing.assert_allclose(picture, tone_map(scene * 8), atol=1)


def test_preview_keeps_hue_and_highlights() -> None:
    scene = np.full((64, 64, 3), 0.01, np.float32)
    scene[:32] = [0.2, 0.35, 0.6]  # a sky, five stops above the ground
    scene[10:20, 10:20] = [0.3, 0.525, 0.9]  # a brighter piece of it
    picture = tone_map(scene).astype(int)
    sky = picture[4, 40]
    assert sky[0] < sky[1] < sky[2]
    assert picture[15, 15].sum() > picture[15, 40].sum() + 20
    ground = picture[60, 40]
    assert ground.max() - ground.min() <= 1


def test_preview_extremes() -> None:
    assert tone_map(np.zeros((16, 16, 3), np.float32)).max() == 0
    spot = np.zeros((40, 40, 3), np.float32)
    spot[10:14, 10:14] = 1.0
    assert tone_map(spot)[12, 12].min() > 100
    assert tone_map(np.full((1, 1, 3), 1e-20, np.float32)).min() > 100


@pytest.mark.parametrize(("name", "kind"), [("a.jpg", "JPEG"), ("a.JPEG", "JPEG"), ("a.png", "PNG")])
def test_preview_files(tmp_path: Path, name: str, kind: str) -> None:
    path = write_preview(tmp_path / name, RADIANCE)
    with Image.open(path) as image:
        assert image.format == kind
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)[..., ::-1]
    assert pixels.dtype == (np.uint8 if kind == "JPEG" else np.uint16)
    top = np.iinfo(pixels.dtype).max
    difference = pixels.astype(int) - np.rint(render(RADIANCE) * np.float32(top)).astype(int)
    assert np.abs(difference).mean() < (6 if kind == "JPEG" else 1e-9)
    assert os.listdir(tmp_path) == [name]


def test_unfinished_files_are_known_before_they_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A signal may come between two lines: as if it came just after the file was made.
    def made_and_ended(path: Path) -> int:
        path.touch()
        remove_unfinished()
        raise SystemExit(143)

    monkeypatch.setattr("apnt.io.files._locked", made_and_ended)
    with pytest.raises(SystemExit), atomic_path(tmp_path / "a.txt"):
        pass
    assert not list(tmp_path.iterdir())


def test_a_forked_child_leaves_its_parents_files(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "a.txt") as temporary:
        temporary.write_text("whole")
        child = os.fork()
        if not child:
            remove_unfinished()
            os._exit(0)
        os.waitpid(child, 0)
    assert (tmp_path / "a.txt").read_text() == "whole"


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9, 0.999])
@pytest.mark.parametrize("flat", [True, False])
def test_an_exr_that_lacks_its_end_is_an_error(tmp_path: Path, share: float, flat: bool) -> None:
    # In a process of its own, whose files may grow to so many bytes; the flat one fits into a single buffer.
    image = np.full((64, 80, 3), 0.25, np.float32) if flat else np.random.default_rng(0).random((64, 80, 3))
    write_radiance(tmp_path / "whole.exr", image.astype(np.float32), half=True)
    limit = int(share * (tmp_path / "whole.exr").stat().st_size)
    (tmp_path / "old.exr").write_bytes(b"old")
    child = os.fork()
    if not child:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            write_radiance(tmp_path / "old.exr", image.astype(np.float32), half=True)
        except OSError:
            os._exit(3)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
    assert (tmp_path / "old.exr").read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old.exr", "whole.exr"]
