"""Reading photographs: every depth, channel layout and orientation, and every way to be none."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from apnt.errors import InputError
from apnt.io import read_photo
from apnt.io.photo import to_unit_rgb

ORIENTATION = 274
RNG = np.random.default_rng(0)
PIXELS8 = RNG.integers(0, 256, (20, 30, 4), dtype=np.uint8)
PIXELS16 = RNG.integers(0, 65536, (20, 30, 4), dtype=np.uint16)


def unit(pixels: np.ndarray) -> np.ndarray:
    return pixels.astype(np.float32) / np.float32(np.iinfo(pixels.dtype).max)


def png(path: Path, pixels: np.ndarray) -> Path:
    """Write RGB(A) or grey with OpenCV, which keeps 16 bits."""
    order = [2, 1, 0, 3][: pixels.shape[-1]] if pixels.ndim == 3 else ...
    path.write_bytes(cv2.imencode(".png", pixels[..., order] if pixels.ndim == 3 else pixels)[1].tobytes())
    return path


@pytest.mark.parametrize("pixels", [PIXELS8, PIXELS16], ids=["8", "16"])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("channels", ["rgb", "rgba", "grey"])
def test_depths_and_channels(tmp_path: Path, pixels: np.ndarray, suffix: str, channels: str) -> None:
    stored = {"rgb": pixels[..., :3], "rgba": pixels, "grey": pixels[..., 0]}[channels]
    path = tmp_path / f"image{suffix}"
    if suffix == ".png":
        png(path, stored)
    else:
        extra = {"extrasamples": ["unassalpha"]} if channels == "rgba" else {}
        photometric = "minisblack" if channels == "grey" else "rgb"
        tifffile.imwrite(path, np.ascontiguousarray(stored), photometric=photometric, **extra)
    image = read_photo(path)
    assert image.dtype == np.float32
    assert image.flags.c_contiguous
    expected = np.repeat(stored[..., None], 3, axis=-1) if channels == "grey" else stored[..., :3]
    np.testing.assert_array_equal(image, unit(expected))


@pytest.mark.parametrize("pixels", [PIXELS8, PIXELS16], ids=["8", "16"])
def test_grey_with_alpha_drops_alpha(tmp_path: Path, pixels: np.ndarray) -> None:
    path = tmp_path / "a.tif"
    grey_alpha = np.ascontiguousarray(pixels[..., :2])
    tifffile.imwrite(path, grey_alpha, photometric="minisblack", extrasamples=["unassalpha"])
    np.testing.assert_array_equal(read_photo(path), unit(np.repeat(pixels[..., :1], 3, axis=-1)))


@pytest.mark.parametrize(
    "layout",
    [
        {"compression": "zlib"},
        {"compression": "zlib", "predictor": True},
        {"tile": (16, 16)},
        {"bigtiff": True},
        {"byteorder": ">"},
        {"rowsperstrip": 3},
    ],
    ids=str,
)
@pytest.mark.parametrize("pixels", [PIXELS8, PIXELS16], ids=["8", "16"])
def test_tiff_layouts(tmp_path: Path, layout: dict[str, object], pixels: np.ndarray) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels[..., :3].copy(), photometric="rgb", **layout)  # type: ignore[arg-type]
    np.testing.assert_array_equal(read_photo(path), unit(pixels[..., :3]))


@pytest.mark.parametrize("pixels", [PIXELS8, PIXELS16], ids=["8", "16"])
def test_tiff_planes(tmp_path: Path, pixels: np.ndarray) -> None:
    path = tmp_path / "a.tif"
    planes = np.ascontiguousarray(np.moveaxis(pixels[..., :3], -1, 0))
    tifffile.imwrite(path, planes, photometric="rgb", planarconfig="separate")
    np.testing.assert_array_equal(read_photo(path), unit(pixels[..., :3]))


@pytest.mark.parametrize("pixels", [PIXELS8, PIXELS16], ids=["8", "16"])
def test_tiff_lzw(tmp_path: Path, pixels: np.ndarray) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(cv2.imencode(".tif", pixels[..., 2::-1], [cv2.IMWRITE_TIFF_COMPRESSION, 5])[1].tobytes())
    np.testing.assert_array_equal(read_photo(path), unit(pixels[..., :3]))


@pytest.mark.parametrize("pixels", [PIXELS8, PIXELS16], ids=["8", "16"])
def test_tiff_white_is_zero(tmp_path: Path, pixels: np.ndarray) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels[..., 0].copy(), photometric="miniswhite")
    inverted = np.iinfo(pixels.dtype).max - pixels[..., :1]
    np.testing.assert_array_equal(read_photo(path), unit(np.repeat(inverted, 3, axis=-1)))


def test_palette_png(tmp_path: Path) -> None:
    image = Image.fromarray(PIXELS8[..., :3]).quantize(16)
    image.save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_photo(tmp_path / "a.png"), unit(np.asarray(image.convert("RGB"))))


def test_content_decides_the_format(tmp_path: Path) -> None:
    path = tmp_path / "photo.tif"
    Image.fromarray(PIXELS8[..., :3]).save(path, "JPEG", quality=95)
    np.testing.assert_array_equal(read_photo(path), unit(np.asarray(Image.open(path))))


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """The meaning of an orientation, channel by channel, by Pillow."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    buffer = io.BytesIO()
    Image.fromarray((pixels >> 8).astype(np.uint8) if pixels.dtype == np.uint16 else pixels).save(
        buffer, "PNG", exif=exif
    )
    return np.asarray(ImageOps.exif_transpose(Image.open(buffer)))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["jpeg", "png8", "png16", "tiff8", "tiff16", "tiff16 lzw"])
def test_orientation(tmp_path: Path, kind: str, orientation: int) -> None:
    pixels = (PIXELS16 if "16" in kind else PIXELS8)[..., :3].copy()
    path = tmp_path / "photo"
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    if kind == "jpeg":
        Image.fromarray(pixels).save(path, "JPEG", quality=100, subsampling=0, exif=exif)
    elif kind == "png8":
        Image.fromarray(pixels).save(path, "PNG", exif=exif)
    elif kind == "png16":
        png(path, pixels)
        block = exif.tobytes().removeprefix(b"Exif\0\0")
        path.write_bytes(insert_png_chunk(path.read_bytes(), b"eXIf", block))
    elif kind == "tiff16 lzw":
        encoded = cv2.imencode(".tif", pixels[..., ::-1], [cv2.IMWRITE_TIFF_COMPRESSION, 5])[1].tobytes()
        path.write_bytes(encoded)
        add_tiff_orientation(path, orientation)
    else:
        tag = (ORIENTATION, "H", 1, orientation, True)
        tifffile.imwrite(path, pixels, photometric="rgb", extratags=[tag])
    image = read_photo(path)
    expected = upright(pixels, orientation)
    assert image.shape == expected.shape
    shown = np.floor(image * (65535 if "16" in kind else 255) / (256 if "16" in kind else 1) + 1e-3)
    np.testing.assert_allclose(shown, expected, atol=8 if kind == "jpeg" else 0)


def insert_png_chunk(data: bytes, name: bytes, content: bytes) -> bytes:
    """Put a chunk behind the header, which ends at byte 33."""
    body = name + content
    chunk = len(content).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
    return data[:33] + chunk + data[33:]


def add_tiff_orientation(path: Path, orientation: int) -> None:
    """Append a copy of the list of tags that has the orientation, and point the header to it."""
    data = bytearray(path.read_bytes())
    assert data[:4] == b"II*\0"
    (start,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, start)
    entries = [bytes(data[start + 2 + 12 * n : start + 14 + 12 * n]) for n in range(count)]
    entries = [entry for entry in entries if struct.unpack_from("<H", entry)[0] != ORIENTATION]
    entries.append(struct.pack("<HHIHH", ORIENTATION, 3, 1, orientation, 0))
    entries.sort(key=lambda entry: struct.unpack_from("<H", entry)[0])
    data += b"\0" * (len(data) % 2)
    struct.pack_into("<I", data, 4, len(data))
    data += struct.pack("<H", len(entries)) + b"".join(entries) + b"\0\0\0\0"
    path.write_bytes(data)


def encoded(kind: str) -> bytes:
    """A whole file of 80 x 64 pixels."""
    pixels = RNG.integers(0, 256, (64, 80, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    if kind == "png16":
        return cv2.imencode(".png", pixels.astype(np.uint16) * 257)[1].tobytes()
    if kind == "tiff16 lzw":
        sixteen = pixels.astype(np.uint16) * 257
        return cv2.imencode(".tif", sixteen, [cv2.IMWRITE_TIFF_COMPRESSION, 5])[1].tobytes()
    if kind == "tiff16":
        tifffile.imwrite(buffer, pixels.astype(np.uint16) * 257, photometric="rgb")
    elif kind == "progressive":
        Image.fromarray(pixels).save(buffer, "JPEG", progressive=True)
    else:
        Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "progressive", "PNG", "TIFF", "png16", "tiff16", "tiff16 lzw"])
@pytest.mark.parametrize("kept", [0.002, 0.3, 0.7, 0.95])
def test_truncated(tmp_path: Path, capfd: pytest.CaptureFixture[str], kind: str, kept: float) -> None:
    data = encoded(kind)
    path = tmp_path / "cut.jpg"
    path.write_bytes(data)
    assert read_photo(path).shape == (64, 80, 3)
    path.write_bytes(data[: max(1, int(kept * len(data)))])
    with pytest.raises(InputError, match=r"cut\.jpg is (truncated|no image).*give a JPEG, PNG or TIFF"):
        read_photo(path)
    assert capfd.readouterr().err == ""


def test_not_a_photograph(tmp_path: Path) -> None:
    text = tmp_path / "notes.jpg"
    text.write_text("no picture")
    with pytest.raises(InputError, match=r"notes\.jpg is no image"):
        read_photo(text)
    text.write_bytes(b"")
    with pytest.raises(InputError, match="is empty"):
        read_photo(text)
    gif = tmp_path / "a.gif"
    Image.fromarray(PIXELS8[..., 0]).save(gif)
    with pytest.raises(InputError, match="JPEG, PNG or TIFF"):
        read_photo(gif)


def test_missing_and_directory(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.jpg does not exist"):
        read_photo(tmp_path / "nowhere.jpg")
    with pytest.raises(InputError, match="is a directory"):
        read_photo(tmp_path)


def test_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = png(tmp_path / "a.png", PIXELS8)

    def refuse(self: Path, mode: str) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # chmod does not stop root
    with pytest.raises(InputError, match=r"a\.png cannot be read \(Permission denied\)"):
        read_photo(path)


def test_float_and_other_depths(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, unit(PIXELS8[..., :3]), photometric="rgb")
    with pytest.raises(InputError, match="must hold integers, and it holds float32"):
        read_photo(path)
    tifffile.imwrite(path, PIXELS16[..., :3].astype(np.uint32), photometric="rgb")
    with pytest.raises(InputError, match="must have 8 or 16 bits, and it holds 32-bit"):
        read_photo(path)
    tifffile.imwrite(path, PIXELS16[..., :3].astype(np.int16), photometric="rgb")
    with pytest.raises(InputError, match="int16"):
        read_photo(path)


@pytest.mark.parametrize("magic", [b"#?RADIANCE\n", b"\x76\x2f\x31\x01"])
def test_hdr_is_no_input(tmp_path: Path, magic: bytes) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(magic + b"\0" * 100)
    with pytest.raises(InputError, match="is an HDR image"):
        read_photo(path)


def test_a_thumbnail_alone_is_no_photograph(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PIXELS8[..., :3].copy(), photometric="rgb", subfiletype=1)
    with pytest.raises(InputError, match="holds a thumbnail alone"):
        read_photo(path)


@pytest.mark.parametrize(("photometric", "kind"), [(8, "CIELAB"), (777, "777")])
def test_other_colour_models_are_named(tmp_path: Path, photometric: int, kind: str) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PIXELS16[..., :3].copy(), photometric="rgb")
    data = bytearray(path.read_bytes())
    entry = data.index(struct.pack("<HHI", 262, 3, 1))
    struct.pack_into("<H", data, entry + 8, photometric)
    path.write_bytes(data)
    with pytest.raises(InputError, match=f"must be RGB or grey, and it is {kind}: convert it"):
        read_photo(path)


def test_cmyk_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(PIXELS8, "CMYK").save(path)
    with pytest.raises(InputError, match="colour mode is CMYK"):
        read_photo(path)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, ">u2", np.float32, np.float64])
def test_arrays(dtype: str) -> None:
    pixels = PIXELS8[..., :3]
    factor = {"f": 1 / 255, "u": 1 if np.dtype(dtype).itemsize == 1 else 257}[np.dtype(dtype).kind]
    array = (pixels.astype(np.float64) * factor).astype(dtype)
    np.testing.assert_allclose(to_unit_rgb(array, "array"), unit(pixels), atol=1e-6)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 3, 4, 3), np.uint8), r"must have shape .* got \(2, 3, 4, 3\)"),
        (np.zeros((3, 20, 30), np.uint8), r"must have shape .* got \(3, 20, 30\)"),
        (np.zeros((20, 30, 3), np.int32), "must be uint8, uint16 or float .* got int32"),
        (np.full((20, 30, 3), 1.5), r"must lie in \[0, 1\] when it is float, got 1.5 to 1.5"),
        (np.full((20, 30, 3), -0.1), ".* got -0.1 to -0.1"),
        (np.full((20, 30, 3), np.nan), ".* holds NaN"),
    ],
)
def test_bad_arrays(array: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match="images.0. " + message):
        to_unit_rgb(array, "images[0]")
