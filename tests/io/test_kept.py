"""Metadata of the reference in every output, written so that other readers find it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import OpenEXR
import pytest
import tifffile
from PIL import Image, ImageCms
from PIL.TiffImagePlugin import IFDRational

from apnt.errors import InputError
from apnt.io import icc, read_exif, read_radiance, write_radiance
from apnt.io.exif import ExifExposure
from apnt.io.kept import POLICIES, keep_metadata
from apnt.io.picture import PICTURE_SUFFIXES, write_picture
from apnt.io.profile import from_icc
from apnt.io.radiance import white_luminance_of

EXIF_IFD, GPS_IFD = 0x8769, 0x8825
ORIENTATION, SOFTWARE, MAKE, ARTIST = 0x0112, 0x0131, 0x010F, 0x013B
TAKEN, SHUTTER, BIAS, COMMENT, NOTE, SERIAL = 0x9003, 0x9201, 0x9204, 0x9286, 0x927C, 0xA431
WIDTH, SPACE = 0xA002, 0xA001
SRATIONAL, UNDEFINED, LONG = 10, 7, 4
HEIGHT_PIXELS, WIDTH_PIXELS = 20, 30
AUTHOR = "Jürgen Groß"
PICTURE = np.random.default_rng(0).random((HEIGHT_PIXELS, WIDTH_PIXELS, 3), dtype=np.float32)


@pytest.fixture
def photograph(tmp_path: Path) -> Path:
    """A photograph that lies on its side, with all that cameras write."""
    exif = Image.Exif()
    exif.update({ORIENTATION: 6, SOFTWARE: "Camera 1.0", MAKE: "Maker", ARTIST: AUTHOR.encode()})
    exif.get_ifd(EXIF_IFD).update(
        {
            0x829A: IFDRational(1, 400), 0x829D: IFDRational(8, 1), 0x8827: 200, TAKEN: "2026:05:04 03:02:01",
            SHUTTER: IFDRational(8643856, 1000000), BIAS: IFDRational(-2, 3), COMMENT: b"ASCII\0\0\0words",
            NOTE: b"note" * 50, SERIAL: "12345", WIDTH: 4000, SPACE: 65535, 0xA300: b"\3",
        }
    )  # fmt: skip
    angle = (IFDRational(48, 1), IFDRational(30, 1), IFDRational(0, 1))
    exif.get_ifd(GPS_IFD).update({0: b"\2\3\0\0", 1: "S", 2: angle, 3: "E", 4: angle})
    path = tmp_path / "photograph.jpg"
    Image.new("RGB", (WIDTH_PIXELS, HEIGHT_PIXELS)).save(path, exif=exif, xmp=b"<x:xmpmeta/>")
    return path


def entries(path: Path) -> tuple[dict[int, Any], dict[int, Any], dict[int, Any], bytes | None]:
    """The three directories of a file and its profile, as Pillow and, of TIFF, tifffile see them."""
    if path.suffix == ".tif":
        with tifffile.TiffFile(path) as file:
            page = file.pages[0]
            profile = page.tags[34675].value
        exif = Image.Exif()
        with path.open("rb") as stream:
            exif.load_from_fp(stream)
            below = dict(exif.get_ifd(EXIF_IFD)), dict(exif.get_ifd(GPS_IFD))
        return dict(exif), *below, profile
    with Image.open(path) as image:
        exif = image.getexif()
        return (
            dict(exif),
            dict(exif.get_ifd(EXIF_IFD)),
            dict(exif.get_ifd(GPS_IFD)),
            image.info["icc_profile"],
        )


def write(path: Path, exif: Image.Exif) -> Path:
    if path.name.startswith("radiance"):
        return write_radiance(path, PICTURE, exif=exif)
    return write_picture(path, PICTURE, exif=exif)


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif", "a.avif", "radiance.tif"])
def test_what_every_output_keeps(tmp_path: Path, photograph: Path, name: str) -> None:
    path = write(tmp_path / name, keep_metadata(photograph, (HEIGHT_PIXELS, WIDTH_PIXELS)))
    first, fields, place, profile = entries(path)
    assert first.get(ORIENTATION, 1) == 1
    assert first[SOFTWARE] == "apnt"
    assert first[MAKE] == "Maker"
    assert first[ARTIST].encode("latin-1").decode() == AUTHOR  # Pillow reads bytes one by one
    assert read_exif(path) == ExifExposure(time=1 / 400, iso=200, f_number=8)
    assert fields[TAKEN] == "2026:05:04 03:02:01"
    assert float(fields[BIAS]) == pytest.approx(-2 / 3)
    assert fields[COMMENT] == b"ASCII\0\0\0words"
    assert fields[SERIAL] == "12345"
    assert fields[WIDTH] == WIDTH_PIXELS
    assert NOTE not in fields
    assert [float(v) for v in place[2]] == [48, 30, 0]
    linear = name == "radiance.tif"
    assert fields[SPACE] == (65535 if linear else 1)
    assert profile is not None
    read = from_icc(profile)
    assert read is not None
    assert read.is_srgb_primaries
    assert read.is_linear == linear
    with Image.open(path) if not linear else photograph.open("rb") as image:
        assert "xmp" not in getattr(image, "info", {})


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif", "a.avif", "radiance.tif"])
def test_entries_have_the_standard_s_types(tmp_path: Path, photograph: Path, name: str) -> None:
    # Pillow alone writes signed numbers as unsigned and bytes as numbers, which libtiff then drops.
    data = write(tmp_path / name, keep_metadata(photograph, (HEIGHT_PIXELS, WIDTH_PIXELS))).read_bytes()
    for tag, kind in ((SHUTTER, SRATIONAL), (BIAS, SRATIONAL), (COMMENT, UNDEFINED), (WIDTH, LONG)):
        assert tag.to_bytes(2, "little") + kind.to_bytes(2, "little") in data, hex(tag)


def test_exr_attributes(tmp_path: Path, photograph: Path) -> None:
    path = tmp_path / "a.exr"
    write_radiance(path, PICTURE, exif=keep_metadata(photograph, (20, 30)), white_luminance=4096.0)
    header = OpenEXR.File(str(path)).header()
    np.testing.assert_allclose(
        header["chromaticities"], (0.64, 0.33, 0.3, 0.6, 0.15, 0.06, 0.3127, 0.329), rtol=1e-6
    )
    assert header["whiteLuminance"] == 4096
    assert header["expTime"] == pytest.approx(1 / 400)
    assert (header["aperture"], header["isoSpeed"]) == (8, 200)
    assert header["capDate"] == "2026:05:04 03:02:01"
    assert (header["cameraMake"], header["owner"], header["software"]) == ("Maker", AUTHOR, "apnt")
    assert (header["latitude"], header["longitude"]) == (-48.5, 48.5)


def test_hdr_header(tmp_path: Path, photograph: Path) -> None:
    path = write_radiance(tmp_path / "a.hdr", PICTURE, exif=keep_metadata(photograph, (20, 30)))
    lines = path.read_bytes().split(b"\n\n")[0].decode().split("\n")
    assert "CAPDATE=2026:05:04 03:02:01" in lines
    assert "PRIMARIES=0.64 0.33 0.3 0.6 0.15 0.06 0.3127 0.329" in lines
    assert (np.abs(read_radiance(path) - PICTURE) <= PICTURE.max(-1, keepdims=True) / 128).all()


def test_policies(tmp_path: Path, photograph: Path) -> None:
    for policy in POLICIES:
        path = write_picture(
            tmp_path / f"{policy}.jpg", PICTURE, exif=keep_metadata(photograph, (20, 30), policy)
        )
        first, fields, place, _ = entries(path)
        data = path.read_bytes()
        assert (TAKEN in fields) == (policy != "none")
        assert (MAKE in first) == (policy != "none")
        assert bool(place) == (policy == "all")
        assert (b"12345" in data) == (AUTHOR.encode() in data) == (b"words" in data) == (policy == "all")
    with pytest.raises(InputError, match="metadata must be one of all, anonymous, none, got 'some'"):
        keep_metadata(photograph, (20, 30), "some")


@pytest.mark.parametrize("suffix", PICTURE_SUFFIXES)
def test_no_metadata_is_no_error(tmp_path: Path, suffix: str) -> None:
    source = tmp_path / "plain.png"
    Image.new("RGB", (30, 20)).save(source)
    for name, origin in (("a", source), ("b", tmp_path / "missing.jpg")):
        first, *_ = entries(write_picture(tmp_path / f"{name}{suffix.replace('tiff', 'tif')}", PICTURE,
                                          exif=keep_metadata(origin, (20, 30))))  # fmt: skip
        assert first[SOFTWARE] == "apnt"
    first, *_ = entries(write_picture(tmp_path / f"c{suffix.replace('tiff', 'tif')}", PICTURE))
    assert first[SOFTWARE] == "apnt"


def test_broken_entries_are_left_out(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif.get_ifd(EXIF_IFD).update({TAKEN: "2026:05:04 03:02:01", COMMENT: b"x" * 30000, SHUTTER: "fast"})
    source = tmp_path / "odd.jpg"
    Image.new("RGB", (30, 20)).save(source, exif=exif)
    for name in ("a.jpg", "a.tif", "a.png"):
        _, fields, _, _ = entries(write(tmp_path / name, keep_metadata(source, (20, 30))))
        assert fields[TAKEN] == "2026:05:04 03:02:01"
        assert COMMENT not in fields
        assert SHUTTER not in fields


def test_values_survive(tmp_path: Path) -> None:
    exif = keep_metadata(tmp_path / "nothing.jpg", (20, 30))
    deep = np.rint(PICTURE * 65535).astype(np.uint16)
    np.testing.assert_array_equal(
        tifffile.imread(write_picture(tmp_path / "a.tif", PICTURE, exif=exif)), deep
    )
    png = cv2.imread(str(write_picture(tmp_path / "a.png", PICTURE, exif=exif)), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(png[..., ::-1], deep)
    radiance = write_radiance(tmp_path / "b.tif", PICTURE, exif=exif)
    np.testing.assert_array_equal(tifffile.imread(radiance), PICTURE)
    np.testing.assert_array_equal(cv2.imread(str(radiance), cv2.IMREAD_UNCHANGED)[..., ::-1], PICTURE)
    smooth = cv2.GaussianBlur(PICTURE, (0, 0), 4)
    for name in ("a.jpg", "a.avif"):
        with Image.open(write_picture(tmp_path / name, smooth, exif=exif)) as image:
            assert np.abs(np.asarray(image) / 255 - smooth).mean() < 0.01


def test_half_floats_where_they_are_enough(tmp_path: Path) -> None:
    def kind(image: np.ndarray, **options: Any) -> np.dtype:
        path = write_radiance(tmp_path / "a.exr", image.astype(np.float32), **options)
        return OpenEXR.File(str(path)).channels()["RGB"].pixels.dtype

    ramp = np.exp2(np.linspace(-17, 0, 600)).reshape(10, 20, 3)
    assert kind(ramp) == np.float16
    assert np.abs(read_radiance(tmp_path / "a.exr") / ramp - 1).max() < 0.01
    assert kind(ramp, half=False) == np.float32
    assert kind(ramp * 2.0**-4) == np.float32  # darker than half floats are fine
    assert kind(ramp * 1e5) == np.float32  # brighter than half floats go
    assert kind(np.zeros((4, 4, 3))) == np.float16


def test_white_luminance() -> None:
    # A sunny day: f/16 at 1 / ISO shows white paper, some 30,000 cd/m2, at about white.
    found = white_luminance_of(ExifExposure(time=1 / 100, iso=100, f_number=16), 1.0)
    assert found == pytest.approx(30720)
    assert white_luminance_of(ExifExposure(time=1 / 25, iso=100, f_number=16), 4.0) == pytest.approx(30720)
    assert white_luminance_of(ExifExposure(time=1 / 25, iso=100), 4.0) is None


def test_profiles_are_read_by_littlecms() -> None:
    for data in (icc.srgb(), icc.linear_srgb()):
        transform = ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(__import__("io").BytesIO(data)),
            ImageCms.createProfile("sRGB"),
            "RGB",
            "RGB",
        )
        assert transform is not None


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (np.zeros((20, 30, 4), np.float32), r"shape \(H, W, 3\), got \(20, 30, 4\)"),
        (np.full((20, 30, 3), 1.5), r"lie in \[0, 1\], got 1.5 to 1.5"),
        (np.full((20, 30, 3), np.nan), r"lie in \[0, 1\]"),
        (np.zeros((20, 30, 3), np.int16), "got int16"),
    ],
)
def test_bad_pictures(tmp_path: Path, picture: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        write_picture(tmp_path / "a.png", picture)
    assert not list(tmp_path.iterdir())
