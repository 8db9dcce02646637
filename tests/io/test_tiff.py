"""TIFF files: pages, packings, compressions, and what is refused."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

import apnt
from apnt.errors import InputError
from apnt.io import read_photo
from apnt.io.photo import read_photograph


def u16(picture: np.ndarray) -> np.ndarray:
    return np.round(picture * 65535).astype(np.uint16)


def lzw(data: bytes) -> bytes:
    """TIFF's LZW with a clear code (256) every 250 bytes, so that every code has 9 bits."""
    codes = [c for i in range(0, len(data), 250) for c in (256, *data[i : i + 250])]
    bits = (np.array([*codes, 257], np.uint16)[:, None] >> np.arange(8, -1, -1)) & 1
    return np.packbits(bits.astype(np.uint8).ravel()).tobytes()


def write_tiff(path: Path, strips: list[bytes], tags: dict[int, tuple[str, list[int]]]) -> Path:
    """A little-endian TIFF of one page; tags by number, each (struct's letter, values)."""
    offsets, position = [], 8
    for strip in strips:
        offsets.append(position)
        position += len(strip) + len(strip) % 2
    tags = {273: ("I", offsets), 279: ("I", [len(s) for s in strips]), **tags}
    outside = position + 2 + 12 * len(tags) + 4
    entries, tail = b"", b""
    for number, (letter, values) in sorted(tags.items()):
        raw = struct.pack(f"<{len(values)}{letter}", *values)
        kind = {"B": 1, "H": 3, "I": 4}[letter]
        if len(raw) > 4:
            raw, tail = struct.pack("<I", outside + len(tail)), tail + raw + b"\0" * (len(raw) % 2)
        entries += struct.pack("<HHI", number, kind, len(values)) + raw.ljust(4, b"\0")
    body = b"".join(s + b"\0" * (len(s) % 2) for s in strips)
    head = struct.pack("<2sHI", b"II", 42, position) + body
    path.write_bytes(head + struct.pack("<H", len(tags)) + entries + b"\0\0\0\0" + tail)
    return path


def grey_tags(pixels: np.ndarray, photometric: int, compression: int) -> dict[int, tuple[str, list[int]]]:
    height, width = pixels.shape
    return {256: ("I", [width]), 257: ("I", [height]), 258: ("H", [16]), 259: ("H", [compression]),
            262: ("H", [photometric]), 277: ("H", [1]), 278: ("I", [height])}  # fmt: skip


COMPRESSIONS = [
    {"compression": "lzw"},
    {"compression": "lzw", "predictor": True},
    {"compression": "zstd"},
    {"compression": "zstd", "predictor": True},
    {"compression": "lerc"},
    {"compression": "zlib", "predictor": True},
    {"compression": "lzma"},
    {"compression": "packbits"},
]


@pytest.mark.parametrize("options", COMPRESSIONS, ids=str)
@pytest.mark.parametrize("layout", ["planar", "tiled", "big-endian", "plain"])
@pytest.mark.parametrize("bits", [8, 16])
def test_compressions_equal_png(
    tmp_path: Path, picture: np.ndarray, options: dict, layout: str, bits: int
) -> None:
    pytest.importorskip("imagecodecs", reason="writes and reads these compressions")
    if layout == "big-endian" and options["compression"] == "lerc":
        pytest.skip("LERC is written in little-endian order alone")
    stored = u16(picture) if bits == 16 else np.round(picture * 255).astype(np.uint8)
    (tmp_path / "a.png").write_bytes(cv2.imencode(".png", stored[..., ::-1])[1].tobytes())
    more = {
        "planar": {"planarconfig": "separate"},
        "tiled": {"tile": (32, 48)},
        "big-endian": {},
        "plain": {},
    }
    pixels = np.moveaxis(stored, -1, 0) if layout == "planar" else stored
    tifffile.imwrite(
        tmp_path / "a.tif",
        np.ascontiguousarray(pixels),
        photometric="rgb",
        byteorder=">" if layout == "big-endian" else "<",
        **more[layout],
        **options,
    )
    np.testing.assert_array_equal(read_photo(tmp_path / "a.tif"), read_photo(tmp_path / "a.png"))


@pytest.mark.parametrize("alpha", ["unassalpha", "unspecified"])
@pytest.mark.parametrize("compression", ["lzw", "zstd", None])
def test_grey_with_another_channel(
    tmp_path: Path, picture: np.ndarray, compression: str | None, alpha: str
) -> None:
    pytest.importorskip("imagecodecs", reason="writes and reads these compressions")
    stored = u16(picture)[..., :2].copy()
    stored[..., 1] = np.where(stored[..., 0] > 30000, 65535, 0)
    tifffile.imwrite(
        tmp_path / "a.tif", stored, photometric="minisblack", extrasamples=[alpha], compression=compression
    )
    photo = read_photograph(tmp_path / "a.tif")
    np.testing.assert_array_equal(photo.pixels, np.repeat(stored[..., :1], 3, -1) / np.float32(65535))
    if alpha == "unspecified":  # a selection or a depth map
        assert photo.valid is None
    else:
        np.testing.assert_array_equal(photo.valid, stored[..., 1] > 0)


@pytest.mark.parametrize("photometric", [0, 1])
@pytest.mark.parametrize("compression", ["none", "lzw", "deflate"])
@pytest.mark.parametrize("strips", [1, 3])
def test_white_is_zero(
    tmp_path: Path, picture: np.ndarray, photometric: int, compression: str, strips: int
) -> None:
    grey = u16(picture[..., 1])
    stored = 65535 - grey if photometric == 0 else grey
    code, pack = {"none": (1, bytes), "lzw": (5, lzw), "deflate": (8, zlib.compress)}[compression]
    parts = [pack(part.astype("<u2").tobytes()) for part in np.split(stored, strips)]
    tags = grey_tags(stored, photometric, code) | {278: ("I", [len(stored) // strips])}
    path = write_tiff(tmp_path / "a.tif", parts, tags)
    np.testing.assert_array_equal(read_photo(path)[..., 0], grey / np.float32(65535))


WITHOUT_IMAGECODECS = """
import sys
sys.modules["imagecodecs"] = None
sys.path.insert(0, sys.argv[1])
import numpy as np
from apnt.errors import InputError
from apnt.io import read_photo
for path in sys.argv[2:]:
    try:
        np.save(path + ".npy", read_photo(path))
    except InputError as error:
        print(error)
"""


def test_without_imagecodecs(tmp_path: Path, picture: np.ndarray) -> None:
    pytest.importorskip("imagecodecs", reason="writes these compressions")
    stored = u16(picture)
    paths = {
        name: str(tmp_path / f"{name}.tif") for name in ("rgb_lzw", "white_lzw", "planar", "zstd", "zstd8")
    }
    tifffile.imwrite(paths["rgb_lzw"], stored, photometric="rgb", compression="lzw")
    tags = grey_tags(stored[..., 0], 0, 5)
    write_tiff(Path(paths["white_lzw"]), [lzw((65535 - stored[..., 0]).astype("<u2").tobytes())], tags)
    planes = np.ascontiguousarray(np.moveaxis(stored, -1, 0))
    tifffile.imwrite(paths["planar"], planes, photometric="rgb", planarconfig="separate", compression="lzw")
    tifffile.imwrite(paths["zstd"], stored, photometric="rgb", compression="zstd")
    tifffile.imwrite(paths["zstd8"], (stored >> 8).astype(np.uint8), photometric="rgb", compression="zstd")
    package = str(Path(apnt.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_IMAGECODECS, package, *paths.values()],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for name in ("rgb_lzw", "white_lzw"):
        np.testing.assert_array_equal(np.load(paths[name] + ".npy"), read_photo(paths[name]))
    needs = "which needs imagecodecs: pip install 'apnt[photo]'"
    lines = done.stdout.splitlines()
    assert f"{paths['planar']} is a TIFF with LZW compression, {needs}" in lines
    assert f"{paths['zstd']} is a TIFF with ZSTD compression, {needs}" in lines
    # Pillow's libtiff may know ZSTD.
    if Path(paths["zstd8"] + ".npy").exists():
        np.testing.assert_array_equal(np.load(paths["zstd8"] + ".npy"), read_photo(paths["zstd8"]))
    else:
        assert any(line.startswith(paths["zstd8"]) for line in lines)


@pytest.mark.parametrize("order", ["thumbnail first", "thumbnail last", "in a sub-image", "two of a size"])
def test_the_photograph_is_the_page(tmp_path: Path, picture: np.ndarray, order: str) -> None:
    stored = u16(picture)
    small = (stored[::4, ::4] >> 8).astype(np.uint8)
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as writer:
        if order == "thumbnail first":
            writer.write(small, photometric="rgb", subfiletype=1)
            writer.write(stored, photometric="rgb", subfiletype=0)
        elif order == "thumbnail last":
            writer.write(stored, photometric="rgb")
            writer.write(small, photometric="rgb")
        elif order == "in a sub-image":
            writer.write(small, photometric="rgb", subfiletype=1, subifds=1)
            writer.write(stored, photometric="rgb")
        else:
            writer.write(stored, photometric="rgb")
            writer.write(65535 - stored, photometric="rgb")
    np.testing.assert_array_equal(read_photo(path), stored / np.float32(65535))


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_packed_bits(tmp_path: Path, picture: np.ndarray, bits: int) -> None:
    pytest.importorskip("imagecodecs", reason="unpacks the bits")
    white = 2**bits - 1
    stored = np.round(picture[..., 0] * white).astype(np.uint16)
    every = (stored.ravel()[:, None] >> np.arange(bits - 1, -1, -1)) & 1
    rows = every.reshape(len(stored), -1).astype(np.uint8)
    data = b"".join(np.packbits(row).tobytes() for row in rows)  # each row begins at a byte
    tags = grey_tags(stored, 1, 1) | {258: ("H", [bits])}
    photo = read_photograph(write_tiff(tmp_path / "a.tif", [data], tags))
    assert photo.bits == bits
    np.testing.assert_array_equal(photo.pixels[..., 0], stored / np.float32(white))


@pytest.mark.parametrize("tag", [281, 341])
def test_a_stated_white_is_believed(tmp_path: Path, picture: np.ndarray, tag: int) -> None:
    stored = np.round(picture * 4095 * 0.4).astype(np.uint16)  # dark: only the tag can tell
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, stored, photometric="rgb", extratags=[(tag, "H", 3, (4095,) * 3, True)])
    photo = read_photograph(path)
    assert photo.bits == 12
    assert photo.notes == (f"{path} states 12-bit samples in 16 bits: scaled by 4095",)
    np.testing.assert_array_equal(photo.pixels, stored / np.float32(4095))


@pytest.mark.parametrize("stated", [3000, 1023, 65535])
def test_a_stated_white_that_cannot_be_is_not(tmp_path: Path, picture: np.ndarray, stated: int) -> None:
    stored = np.round(picture * 2900).astype(np.uint16)  # the picture's own maximum, and less than it
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, stored, photometric="rgb", extratags=[(281, "H", 3, (stated,) * 3, True)])
    np.testing.assert_array_equal(read_photograph(path).pixels, stored / np.float32(65535))


def test_pillow_decodes_other_colour_models(tmp_path: Path, picture: np.ndarray) -> None:
    image = Image.fromarray(np.round(picture * 255).astype(np.uint8))
    plain = np.asarray(image) / np.float32(255)
    image.save(tmp_path / "jpeg.tif", compression="jpeg", quality=98)
    assert np.abs(read_photo(tmp_path / "jpeg.tif") - plain).mean() < 0.01
    image.quantize(64).save(tmp_path / "palette.tif")
    expected = np.asarray(image.quantize(64).convert("RGB")) / np.float32(255)
    np.testing.assert_array_equal(read_photo(tmp_path / "palette.tif"), expected)


@pytest.mark.parametrize("compression", [34676, 34677])
def test_logluv_is_an_hdr_image(tmp_path: Path, compression: int) -> None:
    tags = grey_tags(np.zeros((20, 30)), 32845, compression) | {339: ("H", [2])}
    path = write_tiff(tmp_path / "a.tif", [b"\0" * 600], tags)
    with pytest.raises(InputError, match=r"a\.tif holds LogLuv, an HDR encoding"):
        read_photo(path)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_floats_are_refused(tmp_path: Path, picture: np.ndarray, dtype: str) -> None:
    tifffile.imwrite(tmp_path / "a.tif", picture.astype(dtype), photometric="rgb")
    with pytest.raises(InputError, match=f"must hold integers, and it holds float{8 * int(dtype[1])}"):
        read_photo(tmp_path / "a.tif")


def test_absurd_sizes(tmp_path: Path) -> None:
    base = grey_tags(np.zeros((20, 30)), 1, 1)
    data = [b"\0" * 1200]
    cases = {
        "width": base | {256: ("I", [4_000_000_000])},
        "height": base | {257: ("I", [100_000_000])},
        "tile": base | {322: ("I", [1 << 20]), 323: ("I", [1 << 20]), 324: ("I", [8]), 325: ("I", [1200])},
    }
    for name, tags in cases.items():
        path = write_tiff(tmp_path / f"{name}.tif", data, tags)
        with pytest.raises(InputError, match="must have at most 400 megapixels, and its header says"):
            read_photo(path)
    many = write_tiff(tmp_path / "many.tif", data, base | {277: ("I", [1 << 30])})
    with pytest.raises(InputError, match="must be RGB or grey, and it holds 1073741824 samples a pixel"):
        read_photo(many)
    for name, tags in {
        "count": base | {279: ("I", [4_000_000_000])},
        "offset": base | {273: ("I", [2_000_000_000])},
        "missing strips": base | {278: ("I", [1])},
        "empty strip": base | {279: ("I", [0])},
    }.items():
        path = write_tiff(tmp_path / f"{name}.tif", data, tags)
        with pytest.raises(InputError, match="is truncated or no photograph"):
            read_photo(path)


@pytest.mark.parametrize("compression", ["lzw", "zstd", "zlib", "packbits"])
def test_a_strip_that_ends_early(tmp_path: Path, picture: np.ndarray, compression: str) -> None:
    pytest.importorskip("imagecodecs", reason="writes and reads these compressions")
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, u16(picture), photometric="rgb", compression=compression)
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        (count,) = page.databytecounts
        entry = page.tags["StripByteCounts"].valueoffset
    data = bytearray(path.read_bytes())
    width = 2 if count < 65536 and tiff.pages.first.tags["StripByteCounts"].dtype == 3 else 4
    data[entry : entry + width] = (count // 2).to_bytes(width, "little")
    path.write_bytes(data)
    with pytest.raises(InputError, match="is truncated or no photograph"):
        read_photo(path)


@pytest.mark.parametrize("pages", [1, 2, 3])
def test_a_circle_of_pages(tmp_path: Path, picture: np.ndarray, pages: int) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as writer:
        for _ in range(pages):
            writer.write(u16(picture), photometric="rgb", metadata=None)
    with tifffile.TiffFile(path) as tiff:
        first, last = tiff.pages[0].offset, tiff.pages[pages - 1].offset
    data = bytearray(path.read_bytes())
    (count,) = struct.unpack_from("<H", data, last)
    struct.pack_into("<I", data, last + 2 + 12 * count, first)  # where the next page stands
    path.write_bytes(data)
    np.testing.assert_array_equal(read_photo(path), u16(picture) / np.float32(65535))
