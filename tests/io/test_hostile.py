"""Kinds of input that came out wrong somewhere: right values, or a refusal that names the file."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from apnt.errors import InputError
from apnt.io.exif import ExifExposure
from apnt.io.frames import read_frames, read_photographs
from apnt.io.photo import read_photograph
from apnt.prepare.exposures import find_exposures

EXIF_IFD, ORIENTATION = 0x8769, 274
TIME, SPEED, F_NUMBER, ISO, BIAS = 0x829A, 0x9201, 0x829D, 0x8827, 0x9204
SECONDS = (1 / 400, 1 / 100, 1 / 25)

# How a camera that was held so stores the picture.
STORED: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: np.swapaxes(a, 0, 1),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: np.swapaxes(np.rot90(a, 2), 0, 1),
    8: lambda a: np.rot90(a, 3),
}


def exposed(picture: np.ndarray, k: int) -> np.ndarray:
    """(H, W, 3) uint8: frame ``k`` of a bracket of the picture, two stops apart."""
    return np.round(255 * np.clip(picture * 4.0 ** (k - 2), 0, 1) ** (1 / 2.2)).astype(np.uint8)


def block(tags: dict[int, object], orientation: int | None = None) -> bytes:
    exif = Image.Exif()
    exif.get_ifd(EXIF_IFD).update(tags)
    if orientation is not None:
        exif[ORIENTATION] = orientation
    return exif.tobytes()


def save(path: Path, pixels: np.ndarray, exif: bytes = b"") -> Path:
    Image.fromarray(np.ascontiguousarray(pixels)).save(path, exif=exif)
    return path


def bracket(folder: Path, picture: np.ndarray, tags: list[dict[int, object]]) -> list[Path]:
    return [save(folder / f"{k}.png", exposed(picture, k), block(tags[k])) for k in range(3)]


def exposures(paths: list[Path]) -> tuple[list[float], str]:
    photographs, listed = read_photographs(list(paths))
    found = find_exposures(photographs, listed=listed)
    return [float(stop) for stop in np.log2(found.times)], found.source


# Orientation.


@pytest.mark.parametrize("flag", range(1, 9))
def test_frames_of_one_orientation_are_turned_upright(tmp_path: Path, picture: np.ndarray, flag: int) -> None:
    paths = [
        save(tmp_path / f"{k}.png", STORED[flag](exposed(picture, k)), block({}, flag)) for k in range(3)
    ]
    found = read_frames(paths, stops=(0, 2, 4))
    for k in range(3):
        np.testing.assert_allclose(found.ldr[k], exposed(picture, k) / 255, atol=1e-6)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ((1, 2, 1), "1.png is mirrored,"),
        ((1, 1, 3), "2.png is upside down"),
        ((4, 1, 1), "0.png is mirrored upside down"),
        ((6, 6, 8), "2.png is turned left"),
        ((5, 5, 7), "2.png is mirrored and turned right"),
        ((5, 8, 8), "0.png is mirrored and turned left"),
    ],
)
def test_frames_of_several_orientations_are_refused(
    tmp_path: Path, picture: np.ndarray, flags: tuple[int, ...], said: str
) -> None:
    square = picture[:60, :60]
    paths = [
        save(tmp_path / f"{k}.png", STORED[flag](exposed(square, k)), block({}, flag))
        for k, flag in enumerate(flags)
    ]
    with pytest.raises(InputError, match="images must have the same EXIF orientation") as error:
        read_frames(paths, stops=(0, 2, 4))
    assert said in str(error.value)


@pytest.mark.parametrize("flag", [0, 9, 65535])
def test_a_senseless_orientation_is_none(tmp_path: Path, picture: np.ndarray, flag: int) -> None:
    path = save(tmp_path / "a.png", exposed(picture, 1), block({}, flag))
    assert read_photograph(path).orientation == 1


# Depth: PNG files whose 16 bits hold fewer, at either end.


@pytest.mark.parametrize("bits", [10, 12, 14])
@pytest.mark.parametrize("end", ["low", "high"])
def test_fewer_bits_in_a_png(tmp_path: Path, picture: np.ndarray, bits: int, end: str) -> None:
    paths = []
    for k in range(3):
        encoded = np.clip(picture * 4.0 ** (k - 1), 0, 1) ** (1 / 2.2)
        stored = np.round((2**bits - 1) * encoded).astype(np.uint16) << (16 - bits if end == "high" else 0)
        paths.append(tmp_path / f"{k}.png")
        cv2.imwrite(str(paths[-1]), stored[..., ::-1])
    found = read_frames(paths, stops=(0, 2, 4))
    for k in range(3):
        wanted = np.clip(picture * 4.0 ** (k - 1), 0, 1) ** (1 / 2.2)
        np.testing.assert_allclose(found.ldr[k], wanted, atol=1.01 / 2**bits)


# Exposures.


def seconds(value: float) -> IFDRational:
    return IFDRational(round(value * 1_000_000), 1_000_000)


@pytest.mark.parametrize(
    ("tags", "source"),
    [
        ([{TIME: seconds(s)} for s in SECONDS], "EXIF"),
        ([{SPEED: IFDRational(round(-1000 * float(np.log2(s))), 1000)} for s in SECONDS], "EXIF"),
        ([{TIME: seconds(0.01), ISO: iso} for iso in (100, 400, 1600)], "EXIF"),
        ([{TIME: seconds(0.01), F_NUMBER: IFDRational(n, 1)} for n in (16, 8, 4)], "EXIF"),
        ([{TIME: seconds(s), F_NUMBER: IFDRational(0, 1)} for s in SECONDS], "EXIF"),
        ([{TIME: IFDRational(0, 1)}] * 3, "pixels"),
        ([{TIME: IFDRational(0, 0)}] * 3, "pixels"),
        ([{TIME: IFDRational(1, 0)}] * 3, "pixels"),
        ([{BIAS: IFDRational(b, 1)} for b in (-2, 0, 2)], "pixels"),
        ([{TIME: seconds(0.01), BIAS: IFDRational(b, 1)} for b in (-2, 0, 2)], "pixels"),
        ([{}] * 3, "pixels"),
    ],
    ids=["time", "APEX", "ISO", "aperture", "aperture 0", "0/1", "0/0", "1/0", "bias", "copied", "none"],
)
def test_exposures(tmp_path: Path, picture: np.ndarray, tags: list[dict[int, object]], source: str) -> None:
    stops, found = exposures(bracket(tmp_path, picture, tags))
    assert found == source
    assert stops == pytest.approx([0, 2, 4], abs=0.01 if source == "EXIF" else 0.35)


@pytest.mark.parametrize("time", [IFDRational(0, 1), IFDRational(0, 0), IFDRational(1, 0), None])
@pytest.mark.parametrize("frame", [0, 2])
def test_an_exposure_that_one_frame_lacks(
    tmp_path: Path, picture: np.ndarray, time: IFDRational | None, frame: int
) -> None:
    tags: list[dict[int, object]] = [{TIME: seconds(s)} for s in SECONDS]
    tags[frame] = {} if time is None else {TIME: time}
    with pytest.raises(InputError, match=rf"EXIF exposure time is missing in \S*{frame}.png: give .*--times"):
        exposures(bracket(tmp_path, picture, tags))


XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description xmlns:exif="http://ns.adobe.com/exif/1.0/" exif:ExposureTime="{}"/>'
    "</rdf:RDF></x:xmpmeta>"
)


@pytest.mark.parametrize("pattern", ["{}.xmp", "{}.png.xmp"])
def test_a_sidecar_of_xmp(tmp_path: Path, picture: np.ndarray, pattern: str) -> None:
    paths = bracket(tmp_path, picture, [{}] * 3)
    for k, time in enumerate(("1/400", "1/100", "1/25")):
        (tmp_path / pattern.format(k)).write_text(XMP.format(time))
    assert exposures(paths) == (pytest.approx([0, 2, 4]), "XMP")
    assert exposures([tmp_path]) == (pytest.approx([0, 2, 4]), "XMP")


def test_exif_comes_before_a_sidecar(tmp_path: Path, picture: np.ndarray) -> None:
    paths = bracket(tmp_path, picture, [{TIME: seconds(s)} for s in SECONDS])
    for k in range(3):
        (tmp_path / f"{k}.xmp").write_text(XMP.format("1/8"))
    assert exposures(paths) == (pytest.approx([0, 2, 4]), "EXIF")
    (tmp_path / "0.xmp").write_text("no packet")
    assert read_photograph(paths[0]).exposure.time == pytest.approx(1 / 400)


@pytest.mark.parametrize(
    ("exposure", "words"),
    [
        (ExifExposure(1 / 60, 100, 8), "1/60 s, f/8, ISO 100"),
        (ExifExposure(1 / 1920), "1/1920 s"),
        (ExifExposure(1 / 32000), "1/32000 s"),
        (ExifExposure(0.5, None, 5.6), "0.5 s, f/5.6"),
        (ExifExposure(13, 3200), "13 s, ISO 3200"),
    ],
)
def test_an_exposure_in_a_photographers_words(exposure: ExifExposure, words: str) -> None:
    assert exposure.words() == words


# Files of several pictures: which one is read is said.


def test_files_of_several_pictures(tmp_path: Path, picture: np.ndarray) -> None:
    first, second = exposed(picture, 1), exposed(picture, 2)
    tifffile.imwrite(tmp_path / "a.tif", np.stack([first, second]), photometric="rgb")
    Image.fromarray(first).save(tmp_path / "a.png", save_all=True, append_images=[Image.fromarray(second)])
    Image.fromarray(first).save(
        tmp_path / "a.webp", save_all=True, append_images=[Image.fromarray(second)], lossless=True
    )
    for name in ("a.tif", "a.png", "a.webp"):
        photo = read_photograph(tmp_path / name)
        np.testing.assert_array_equal(np.round(255 * photo.pixels), first)
        assert photo.notes == (f"{tmp_path / name} holds 2 pictures: the first is read",)


def test_a_thumbnail_or_preview_inside_is_no_second_picture(tmp_path: Path, picture: np.ndarray) -> None:
    small = Image.fromarray(exposed(picture, 1)[::4, ::4].copy())
    Image.fromarray(exposed(picture, 1)).save(
        tmp_path / "a.mpo", "MPO", save_all=True, append_images=[small], quality=95, subsampling=0
    )
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(exposed(picture, 1), photometric="rgb")
        file.write(np.asarray(small), photometric="rgb", subfiletype=1)
    for name in ("a.mpo", "a.tif"):
        photo = read_photograph(tmp_path / name)
        assert photo.notes == ()
        assert np.abs(255 * photo.pixels - exposed(picture, 1)).mean() < 3


# What has another size, or claims one.


@pytest.mark.parametrize(
    "cut", [(slice(0, 59), slice(None)), (slice(None), slice(0, 83)), (slice(0, 30), slice(0, 42))]
)
def test_another_size_is_refused(tmp_path: Path, picture: np.ndarray, cut: tuple[slice, slice]) -> None:
    paths = [save(tmp_path / f"{k}.png", exposed(picture, k)[cut if k == 1 else ...]) for k in range(3)]
    height, width = exposed(picture, 1)[cut].shape[:2]
    said = rf"same size after EXIF rotation: got .*1.png of {width} x {height}"
    with pytest.raises(InputError, match=said):
        read_frames(paths, stops=(0, 2, 4))


@pytest.mark.parametrize("size", [(60_000, 60_000), (2**31 - 1, 1), (0, 40)])
def test_a_png_header_that_lies_about_the_size(
    tmp_path: Path, picture: np.ndarray, size: tuple[int, int]
) -> None:
    buffer = io.BytesIO()
    Image.fromarray(exposed(picture, 1)).save(buffer, "PNG")
    data = bytearray(buffer.getvalue())
    data[16:24] = struct.pack(">II", *size)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(InputError, match=r"a.png "):
        read_photograph(tmp_path / "a.png")


@pytest.mark.parametrize("linear", [False, True], ids=["mosaic", "linear"])
def test_a_raw_file_whose_pixels_were_taken_out(
    tmp_path: Path, picture: np.ndarray, camera: Any, linear: bool
) -> None:
    path = camera.write(tmp_path / "a.dng", camera.sees(picture), linear=linear)
    assert read_photograph(path).format == "camera RAW"
    with tifffile.TiffFile(path, mode="r+b") as file:  # as tools leave it that keep the metadata alone
        tags = file.pages.first.tags
        tags["Compression"].overwrite(7)
        tags["StripByteCounts"].overwrite(22)
    with pytest.raises(InputError, match=r"a.dng is truncated or no photograph \(most of its pixels are"):
        read_photograph(path)


# Arguments of another kind.


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (None, "images must be 2 to 15 paths or arrays, or a folder, got None"),
        (3, "images must be 2 to 15 paths or arrays, or a folder, got 3"),
        ([], "images must be 2 to 15 photographs with different exposures, got 0"),
        ([b"a", b"b"], r"images\[0\] must have shape"),
    ],
)
def test_images_of_another_kind(images: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_photographs(images)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["times", "stops"])
@pytest.mark.parametrize("values", ["abc", ["a", "b", "c"], [[1, 2, 4]], 3])
def test_exposures_of_another_kind(picture: np.ndarray, name: str, values: object) -> None:
    photographs, _ = read_photographs([exposed(picture, k) for k in range(3)])
    with pytest.raises(InputError, match=f"{name} must be"):
        find_exposures(photographs, **{name: values})  # type: ignore[arg-type]
