"""Formats beside JPEG, PNG and TIFF: equal to their PNG twins, or named."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

import apnt
from apnt.errors import InputError
from apnt.io import decoded, read_photo
from apnt.io.formats import sniff
from apnt.io.jxl import codestream, read_header
from apnt.io.photo import read_photograph


def stored(picture: np.ndarray, bits: int) -> np.ndarray:
    return np.round(picture * (2**bits - 1)).astype(np.uint8 if bits == 8 else np.uint16)


def png_twin(path: Path, pixels: np.ndarray, bits: int) -> np.ndarray:
    """The same picture through a PNG of 8 or 16 bits."""
    if bits not in (8, 16):
        pixels = np.round(pixels / (2**bits - 1) * 65535).astype(np.uint16)
    path.write_bytes(cv2.imencode(".png", pixels[..., ::-1])[1].tobytes())
    return read_photo(path)


def write_heic(path: Path, pixels: np.ndarray, bits: int, **options: object) -> Path:
    pillow_heif = pytest.importorskip("pillow_heif", reason="writes HEIC")
    height, width = pixels.shape[:2]
    if bits == 8:
        pillow_heif.from_bytes("RGB", (width, height), pixels.tobytes()).save(path, **options)
    else:
        shifted = (pixels << (16 - bits)).astype(np.uint16)
        pillow_heif.from_bytes("RGB;16", (width, height), shifted.tobytes()).save(path, **options)
    return path


@pytest.mark.parametrize("bits", [8, 10])
@pytest.mark.parametrize("quality", [95, 80])
def test_heic(tmp_path: Path, picture: np.ndarray, bits: int, quality: int) -> None:
    pixels = stored(picture, bits)
    path = write_heic(tmp_path / "a.heic", pixels, bits, quality=quality, chroma=444)
    photo = read_photograph(path)
    assert (photo.format, photo.bits, photo.curve, photo.notes) == ("HEIC", bits, None, ())
    error = np.abs(photo.pixels - png_twin(tmp_path / "a.png", pixels, bits))
    assert error.mean() < {95: 0.006, 80: 0.012}[quality]
    # Its scale is right: full white and black are not off by a shift of bits.
    assert np.quantile(photo.pixels, 0.999) > 0.99


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_heic_is_turned_by_the_decoder_alone(tmp_path: Path, picture: np.ndarray, orientation: int) -> None:
    pillow_heif = pytest.importorskip("pillow_heif", reason="writes HEIC")
    exif = Image.Exif()
    exif[274] = orientation
    image = Image.fromarray(stored(picture, 8))
    pillow_heif.from_pillow(image).save(tmp_path / "a.heic", quality=95, exif=exif.tobytes(), chroma=444)
    photo = read_photograph(tmp_path / "a.heic")
    expected = np.rot90(picture, {3: 2, 6: 3, 8: 1}[orientation])
    assert photo.pixels.shape == expected.shape
    assert np.abs(photo.pixels - expected).mean() < 0.01


def test_heic_profile(tmp_path: Path) -> None:
    pillow_heif = pytest.importorskip("pillow_heif", reason="writes HEIC")
    pixels = np.full((64, 64, 3), (200, 120, 60), np.uint8)
    # Display P3 by H.273 numbers.
    options = {
        "color_primaries": 12,
        "transfer_characteristics": 13,
        "matrix_coefficients": 6,
        "full_range_flag": 1,
    }
    path = write_heic(tmp_path / "a.heic", pixels, 8, quality=100, chroma=444, **options)
    photo = read_photograph(path)
    assert "Display P3" in photo.notes[0]
    # By sRGB's formula and the published matrix, of what the codec left of the colour.
    stored = np.asarray(pillow_heif.open_heif(path)).mean(axis=(0, 1))
    linear = ((stored / 255 + 0.055) / 1.055) ** 2.4
    linear = np.array([[1.2249, -0.2249, 0], [-0.0421, 1.0421, 0], [-0.0196, -0.0786, 1.0983]]) @ linear
    expected = 1.055 * linear ** (1 / 2.4) - 0.055
    np.testing.assert_allclose(photo.pixels.mean(axis=(0, 1)), expected, atol=2e-3)


@pytest.mark.parametrize("bits", [8, 10, 12])
@pytest.mark.parametrize("level", [100, 85])
def test_avif(tmp_path: Path, picture: np.ndarray, bits: int, level: int) -> None:
    pixels = stored(picture, bits)
    path = tmp_path / "a.avif"
    if bits == 8:
        Image.fromarray(pixels).save(path, quality=level, subsampling="4:4:4")
    else:
        codecs = pytest.importorskip("imagecodecs", reason="writes AVIF with more than 8 bits")
        path.write_bytes(codecs.avif_encode(pixels, level=level, bitspersample=bits, pixelformat="444"))
    photo = read_photograph(path)
    assert (photo.format, photo.bits, photo.notes) == ("AVIF", bits, ())
    error = np.abs(photo.pixels - png_twin(tmp_path / "a.png", pixels, bits))
    assert error.mean() < {100: 0.004, 85: 0.008}[level]
    assert np.quantile(photo.pixels, 0.999) > 0.99


@pytest.mark.parametrize("orientation", [3, 6, 7])
def test_avif_orientation(tmp_path: Path, picture: np.ndarray, orientation: int) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(stored(picture, 8)).save(tmp_path / "a.avif", quality=95, exif=exif)
    photo = read_photograph(tmp_path / "a.avif")
    turned = {3: np.rot90(picture, 2), 6: np.rot90(picture, 3), 7: np.swapaxes(np.rot90(picture, 2), 0, 1)}
    assert photo.orientation == orientation
    assert np.abs(photo.pixels - turned[orientation]).mean() < 0.02


@pytest.mark.parametrize("kind", ["WebP", "BMP", "JPEG 2000"])
def test_pillow_formats_without_loss(tmp_path: Path, picture: np.ndarray, kind: str) -> None:
    name, options = {"WebP": ("webp", {"lossless": True}), "BMP": ("bmp", {}), "JPEG 2000": ("jp2", {})}[kind]
    pixels = stored(picture, 8)
    path = tmp_path / f"a.{name}"
    Image.fromarray(pixels).save(path, **options)
    photo = read_photograph(path)
    assert (photo.format, photo.bits, photo.valid) == (kind, 8, None)
    np.testing.assert_array_equal(photo.pixels, png_twin(tmp_path / "a.png", pixels, 8))
    Image.fromarray(pixels[..., 0]).save(path, **options)
    np.testing.assert_array_equal(read_photo(path), pixels[..., :1].repeat(3, -1) / np.float32(255))


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("codec", ["jp2", "j2k"])
@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_2000(tmp_path: Path, picture: np.ndarray, bits: int, codec: str, channels: int) -> None:
    codecs = pytest.importorskip("imagecodecs", reason="writes JPEG 2000 with more than 8 bits")
    pixels = stored(picture, bits)
    pixels = pixels if channels == 3 else pixels[..., 0].copy()
    path = tmp_path / "a.jp2"
    path.write_bytes(
        codecs.jpeg2k_encode(pixels, level=0, reversible=True, bitspersample=bits, codecformat=codec)
    )
    photo = read_photograph(path)
    assert (photo.format, photo.bits) == ("JPEG 2000", bits)
    expected = pixels.reshape(*pixels.shape[:2], -1) / np.float32(2**bits - 1)
    np.testing.assert_array_equal(photo.pixels, np.broadcast_to(expected, (*pixels.shape[:2], 3)))


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("container", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_xl(tmp_path: Path, picture: np.ndarray, bits: int, container: bool, channels: int) -> None:
    codecs = pytest.importorskip("imagecodecs", reason="writes and reads JPEG XL")
    pixels = stored(picture, bits)
    pixels = pixels if channels == 3 else pixels[..., 0].copy()
    path = tmp_path / "a.jxl"
    path.write_bytes(codecs.jpegxl_encode(pixels, lossless=True, bitspersample=bits, usecontainer=container))
    photo = read_photograph(path)
    assert (photo.format, photo.bits, photo.notes) == ("JPEG XL", bits, ())
    expected = pixels.reshape(*pixels.shape[:2], -1) / np.float32(2**bits - 1)
    np.testing.assert_array_equal(photo.pixels, np.broadcast_to(expected, (*pixels.shape[:2], 3)))


@pytest.mark.parametrize("size", [(1, 1), (64, 96), (60, 84), (300, 400), (20, 9000), (256, 256), (257, 171)])
def test_jpeg_xl_header(size: tuple[int, int]) -> None:
    codecs = pytest.importorskip("imagecodecs", reason="writes JPEG XL")
    for dtype, bits in ((np.uint8, 8), (np.uint16, 16)):
        data = codecs.jpegxl_encode(np.zeros((*size, 3), dtype), lossless=True)
        header = read_header(codestream(data))
        assert (header.height, header.width, header.bits, header.is_float) == (*size, bits, False)
    assert read_header(codestream(codecs.jpegxl_encode(np.zeros((*size, 3), np.float32)))).is_float


def test_jpeg_xl_alpha_and_floats(tmp_path: Path, picture: np.ndarray) -> None:
    codecs = pytest.importorskip("imagecodecs", reason="writes and reads JPEG XL")
    path = tmp_path / "a.jxl"
    pixels = np.dstack([stored(picture, 8), np.full(picture.shape[:2], 255, np.uint8)])
    pixels[:, :20, 3] = 0
    path.write_bytes(codecs.jpegxl_encode(pixels, lossless=True))
    photo = read_photograph(path)
    assert photo.valid is not None
    np.testing.assert_array_equal(photo.valid, pixels[..., 3] > 0)
    path.write_bytes(codecs.jpegxl_encode(picture.astype(np.float32), lossless=True))
    with pytest.raises(InputError, match=r"a\.jxl must hold integers, and it holds floats"):
        read_photo(path)


@pytest.mark.parametrize("kind", ["heic", "avif", "jxl", "jp2", "webp", "bmp"])
@pytest.mark.parametrize("kept", [0.3, 0.7, 0.95])
def test_truncated(tmp_path: Path, picture: np.ndarray, kind: str, kept: float) -> None:
    pixels = stored(np.random.default_rng(0).uniform(size=picture.shape), 8)
    path = tmp_path / f"a.{kind}"
    if kind == "heic":
        write_heic(path, pixels, 8)
    elif kind == "jxl":
        codecs = pytest.importorskip("imagecodecs", reason="writes and reads JPEG XL")
        path.write_bytes(codecs.jpegxl_encode(pixels, lossless=True))
    else:
        Image.fromarray(pixels).save(path)
    assert read_photo(path).shape == pixels.shape
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data))])
    with pytest.raises(InputError, match=rf"a\.{kind} is (truncated|no image)"):
        read_photo(path)


def box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + name + content


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (b"GIF89a", "is a GIF image"),
        (b"8BPS\0\1", "is a Photoshop document"),
        (b"II\xbc\x01", "is a JPEG XR image"),
        (b"P6\n4 4\n255\n", "is a PNM image"),
        (b"PF\n4 4\n-1\n", "is an HDR image"),
        (b"%PDF-1.7", "is a PDF document"),
        (box(b"ftyp", b"mp42\0\0\0\0isom"), r"is a video or another media file \(mp42\)"),
        (box(b"ftyp", b"qt  \0\0\0\0"), r"is a video or another media file \(qt\)"),
    ],
)
def test_formats_that_are_not_read_are_named(tmp_path: Path, head: bytes, message: str) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(head + b"\0" * 100)
    with pytest.raises(InputError, match=rf"a\.jpg {message}.*"):
        read_photo(path)


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (box(b"ftyp", b"heic\0\0\0\0mif1heic"), "HEIC"),
        (box(b"ftyp", b"mif1\0\0\0\0mif1avif"), "AVIF"),
        (box(b"ftyp", b"msf1\0\0\0\0msf1hevc"), "HEIC"),
        (box(b"ftyp", b"crx \0\0\0\x01crx isom"), "camera RAW"),
        (b"FUJIFILMCCD-RAW 0201", "camera RAW"),
        (b"IIU\0\x18\0\0\0", "camera RAW"),
        (b"IIRO\x08\0\0\0", "camera RAW"),
        (b"FOVb\0\0", "camera RAW"),
        (b"II*\0\x08\0\0\0", "TIFF"),
        (b"MM\0+\0\x08\0\0", "TIFF"),
        (b"no picture", None),
        (b"", None),
    ],
)
def test_sniff(head: bytes, kind: str | None) -> None:
    assert sniff(head) == kind


@pytest.mark.parametrize(
    "head", [b"FUJIFILMCCD-RAW 0201", b"IIRO\x08\0\0\0", box(b"ftyp", b"crx \0\0\0\x01crx isom")]
)
def test_raw_that_libraw_cannot_read(tmp_path: Path, head: bytes) -> None:
    pytest.importorskip("rawpy", reason="reads camera RAW")
    path = tmp_path / "a.raf"
    path.write_bytes(head + b"\0" * 4000)
    with pytest.raises(InputError, match=r"a\.raf is a camera RAW file that LibRaw cannot read"):
        read_photo(path)


WITHOUT_EXTRAS = """
import sys
for name in ("imagecodecs", "rawpy", "pillow_heif"):
    sys.modules[name] = None
sys.path.insert(0, sys.argv[1])
from apnt.errors import InputError
from apnt.io import read_exif, read_photo
for path in sys.argv[2:]:
    read_exif(path)
    try:
        print(path, read_photo(path).shape)
    except InputError as error:
        print(error)
"""


def test_a_missing_extra_is_named(tmp_path: Path, picture: np.ndarray) -> None:
    codecs = pytest.importorskip("imagecodecs", reason="writes these formats")
    deep = stored(picture, 16)
    files = {
        "a.jxl": codecs.jpegxl_encode(deep, lossless=True),
        "b.jp2": codecs.jpeg2k_encode(deep, level=0, reversible=True),
        "c.avif": codecs.avif_encode(deep >> 6, bitspersample=10),
        "d.heic": box(b"ftyp", b"heic\0\0\0\0mif1heic") + b"\0" * 100,
        "e.cr3": box(b"ftyp", b"crx \0\0\0\x01crx isom") + b"\0" * 100,
        "f.bmp": b"",
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    Image.fromarray(stored(picture, 8)).save(tmp_path / "f.bmp")
    package = str(Path(apnt.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_EXTRAS, package, *(str(tmp_path / n) for n in files)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    install = "pip install 'apnt[photo]'"
    assert done.stdout.splitlines() == [
        f"{tmp_path / 'a.jxl'} is a JPEG XL photograph, which needs imagecodecs: {install}",
        f"{tmp_path / 'b.jp2'} is a JPEG 2000 photograph with 16 bits, which needs imagecodecs: {install}",
        f"{tmp_path / 'c.avif'} is an AVIF photograph with 10 bits, which needs imagecodecs: {install}",
        f"{tmp_path / 'd.heic'} is a HEIC photograph, which needs pillow-heif: {install}",
        f"{tmp_path / 'e.cr3'} is a camera RAW file, which needs rawpy: {install}",
        f"{tmp_path / 'f.bmp'} (60, 84, 3)",
    ]


def big(kind: str) -> bytes:
    """A small file of this format whose header claims 30000 x 20000 pixels."""
    buffer = io.BytesIO()
    width, height = 30000, 20000
    image = Image.fromarray(np.zeros((20, 30, 3), np.uint8))
    if kind == "PNG":
        image.save(buffer, "PNG")
        data = bytearray(buffer.getvalue())
        struct.pack_into(">II", data, 16, width, height)
        struct.pack_into(">I", data, 29, __import__("zlib").crc32(data[12:29]))
    elif kind == "JPEG":
        image.save(buffer, "JPEG")
        data = bytearray(buffer.getvalue())
        struct.pack_into(">HH", data, data.index(b"\xff\xc0") + 5, height, width)
    elif kind == "BMP":
        image.save(buffer, "BMP")
        data = bytearray(buffer.getvalue())
        struct.pack_into("<ii", data, 18, width, height)
    else:
        image.save(buffer, "WEBP", lossless=True)
        data = bytearray(buffer.getvalue())
        struct.pack_into("<I", data, 21, (16000 - 1) | (16383 - 1) << 14)  # the format's own limit is lower
    return bytes(data)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP"])
def test_a_header_that_claims_too_much(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.image"
    path.write_bytes(big(kind))
    with pytest.raises(InputError, match=r"a\.image must have at most 400 megapixels"):
        read_photo(path)


@pytest.mark.parametrize("kind", ["heic", "avif", "jxl", "jp2", "webp", "bmp", "png", "tif", "dng"])
def test_the_limit_holds_for_every_format(
    tmp_path: Path, picture: np.ndarray, kind: str, monkeypatch: pytest.MonkeyPatch, camera: Any
) -> None:
    path = tmp_path / f"a.{kind}"
    pixels = stored(picture, 8)
    if kind == "heic":
        write_heic(path, pixels, 8)
    elif kind == "jxl":
        codecs = pytest.importorskip("imagecodecs", reason="writes and reads JPEG XL")
        path.write_bytes(codecs.jpegxl_encode(pixels, lossless=True))
    elif kind == "dng":
        pytest.importorskip("rawpy", reason="reads camera RAW")
        camera.write(path, camera.sees(picture), linear=False)
    else:
        Image.fromarray(pixels).save(path)
    read_photo(path)
    monkeypatch.setattr(decoded, "MAX_PIXELS", 60 * 84 - 1)
    with pytest.raises(InputError, match="must have at most 0 megapixels"):
        read_photo(path)
