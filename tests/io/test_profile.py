"""Colour profiles: known colours, made into files with the profile that encodes them."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from apnt.errors import InputError
from apnt.io import read_photo
from apnt.io.photo import read_photograph
from apnt.io.profile import PRIMARIES, bt709_curve, from_chromaticities, from_icc, srgb_curve

# Linear RGB to linear sRGB, as published (Lindbloom; ICC's Display P3), rounded to four digits.
P3 = np.array([[1.2249, -0.2249, 0.0], [-0.0421, 1.0421, 0.0], [-0.0196, -0.0786, 1.0983]])
ADOBE = np.array([[1.3984, -0.3984, 0.0], [0.0, 1.0, 0.0], [0.0, -0.0429, 1.0429]])
PROPHOTO = np.array([[2.0343, -0.7274, -0.3069], [-0.2288, 1.2317, -0.0029], [-0.0086, -0.1533, 1.1619]])
BT2020 = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]])

# Colorants in XYZ, adapted to D50, from the published profiles.
COLORANTS = {
    "Display P3": [[0.51512, 0.24120, -0.00105], [0.29198, 0.69225, 0.04189], [0.15710, 0.06657, 0.78407]],
    "Adobe RGB (1998)": [
        [0.60974, 0.31111, 0.01947],
        [0.20528, 0.62567, 0.06087],
        [0.14919, 0.06322, 0.74457],
    ],
    "ProPhoto": [[0.79767, 0.28804, 0.0], [0.13519, 0.71188, 0.0], [0.03134, 0.00009, 0.82491]],
    "sRGB": [[0.43607, 0.22249, 0.01392], [0.38515, 0.71687, 0.09708], [0.14307, 0.06061, 0.71410]],
}
EXPECTED = {"Display P3": P3, "Adobe RGB (1998)": ADOBE, "ProPhoto": PROPHOTO, "sRGB": np.eye(3)}


def s15(*values: float) -> bytes:
    return struct.pack(f">{len(values)}i", *(round(v * 65536) for v in values))


def para(kind: int, *values: float) -> bytes:
    return b"para\0\0\0\0" + struct.pack(">HH", kind, 0) + s15(*values)


SRGB_PARA = para(3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
SRGB_TABLE = b"curv\0\0\0\0" + struct.pack(">I", 1024) + np.round(
    srgb_curve(np.linspace(0, 1, 1024)) * 65535).astype(">u2").tobytes()  # fmt: skip
LINEAR = b"curv\0\0\0\0" + struct.pack(">I", 0)


def gamma(value: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(value * 256)) + b"\0\0"


CURVES = {
    "Display P3": SRGB_PARA,
    "Adobe RGB (1998)": gamma(563 / 256),
    "ProPhoto": gamma(1.8),
    "sRGB": SRGB_TABLE,
}


def icc(name: str, curve: bytes | None = None) -> bytes:
    """A version 2 display profile of matrix and curves."""
    curve = CURVES[name] if curve is None else curve
    text = name.encode() + b"\0"
    desc = b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + b"\0" * 78
    tags = {b"desc": desc, b"wtpt": b"XYZ \0\0\0\0" + s15(0.9642, 1, 0.8249), b"cprt": b"text\0\0\0\0none\0"}
    for letter, colorant in zip("rgb", COLORANTS[name], strict=True):
        tags[f"{letter}XYZ".encode()] = b"XYZ \0\0\0\0" + s15(*colorant)
        tags[f"{letter}TRC".encode()] = curve
    table, body = struct.pack(">I", len(tags)), b""
    for tag, data in tags.items():
        table += struct.pack(">4sII", tag, 132 + 12 * len(tags) + len(body), len(data))
        body += data + b"\0" * (-len(data) % 4)
    head = struct.pack(">I4sI4s4s4s12s4s4s", 128 + len(table) + len(body), b"", 0x02400000, b"mntr", b"RGB ",
                       b"XYZ ", b"\x07\xea" + b"\0\1" * 5, b"acsp", b"")  # fmt: skip
    head += b"\0" * (68 - len(head)) + s15(0.9642, 1, 0.8249)
    return head.ljust(128, b"\0") + table + body


@pytest.fixture
def light(picture: np.ndarray) -> np.ndarray:
    """Linear sRGB that the wide spaces hold, and sRGB too."""
    return 0.02 + 0.93 * picture**2.2


def stored_in(name: str, light: np.ndarray) -> np.ndarray:
    """What a file with this profile holds for linear sRGB light."""
    wide = np.clip(light @ np.linalg.inv(EXPECTED[name]).T, 0, 1)
    return encode(name, wide)


def encode(name: str, linear: np.ndarray) -> np.ndarray:
    if name in ("Display P3", "sRGB"):
        grid = np.linspace(0, 1, 100001)
        return np.interp(linear, srgb_curve(grid), grid)
    return linear ** (1 / {"Adobe RGB (1998)": 563 / 256, "ProPhoto": 1.8}[name])


def decode(name: str, stored: np.ndarray) -> np.ndarray:
    if name in ("Display P3", "sRGB"):
        return srgb_curve(stored)
    return stored ** {"Adobe RGB (1998)": 563 / 256, "ProPhoto": 1.8}[name]


def shown(name: str, stored: np.ndarray) -> np.ndarray:
    """What the integers of a file with this profile are in sRGB's primaries, by the published matrix."""
    unit = stored / np.iinfo(stored.dtype).max
    return encode(name, np.clip(decode(name, unit) @ EXPECTED[name].T, 0, 1))


def write(path: Path, pixels: np.ndarray, profile: bytes, bits: int) -> Path:
    stored = np.round(pixels * (2**bits - 1)).astype(np.uint16 if bits > 8 else np.uint8)
    if path.suffix == ".tif":
        tifffile.imwrite(path, stored, photometric="rgb", iccprofile=profile)
    elif bits == 16:
        data = cv2.imencode(".png", stored[..., ::-1])[1].tobytes()
        path.write_bytes(png_chunk(data, b"iCCP", b"p\0\0" + zlib.compress(profile)))
    else:
        options = {".jpg": {"quality": 100, "subsampling": 0}, ".webp": {"lossless": True}}
        Image.fromarray(stored).save(path, icc_profile=profile, **options.get(path.suffix, {}))
    return path


def png_chunk(data: bytes, name: bytes, content: bytes) -> bytes:
    """Put a chunk behind the header, which ends at byte 33."""
    body = name + content
    return (
        data[:33] + struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body)) + data[33:]
    )


@pytest.mark.parametrize("name", EXPECTED)
@pytest.mark.parametrize(
    ("suffix", "bits"), [(".tif", 16), (".png", 16), (".tif", 8), (".png", 8), (".webp", 8), (".jpg", 8)]
)
def test_matrix_profiles(tmp_path: Path, light: np.ndarray, name: str, suffix: str, bits: int) -> None:
    path = write(tmp_path / f"a{suffix}", stored_in(name, light), icc(name), bits)
    photo = read_photograph(path)
    assert photo.curve is None
    if bits == 16:
        np.testing.assert_allclose(photo.pixels, encode(name, light), atol=1e-3)
    else:
        stored = tifffile.imread(path) if suffix == ".tif" else np.asarray(Image.open(path).convert("RGB"))
        # Near black, curves are steep enough to show the fourth digit of the matrix.
        np.testing.assert_allclose(photo.pixels, shown(name, stored), atol=2e-3)
    if name == "sRGB":
        assert photo.notes == ()
        assert photo.profile is None
    else:
        assert photo.notes[0] == f"{path} has the colour profile {name}: converted to sRGB's primaries"


@pytest.mark.parametrize("name", ["sRGB", "Display P3", "ProPhoto"])
@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_a_linear_profile_says_the_curve(tmp_path: Path, light: np.ndarray, name: str, suffix: str) -> None:
    wide = np.clip(light @ np.linalg.inv(EXPECTED[name]).T, 0, 1)
    photo = read_photograph(write(tmp_path / f"a{suffix}", wide, icc(name, LINEAR), 16))
    assert photo.curve == "linear"
    np.testing.assert_allclose(photo.pixels, light, atol=5e-4)
    # Eight bits of linear light are no one's choice: the profile's curve is not believed.
    assert read_photograph(write(tmp_path / "b.png", wide, icc(name, LINEAR), 8)).curve is None


def test_colours_outside_srgb_are_clipped_and_said(tmp_path: Path) -> None:
    pixels = np.zeros((20, 30, 3))
    pixels[:, :15] = (0.1, 0.9, 0.1)  # a green that only P3 holds
    pixels[:, 15:] = 0.5
    path = write(tmp_path / "a.tif", pixels, icc("Display P3"), 16)
    photo = read_photograph(path)
    assert photo.notes[1] == f"{path} holds colours outside sRGB in 50.0% of the pixels: clipped to its gamut"
    assert photo.pixels[0, 0, 0] == 0
    np.testing.assert_allclose(photo.pixels[0, 20], 0.5, atol=1e-4)


@pytest.mark.parametrize("name", ["Display P3", "Adobe RGB (1998)", "ProPhoto"])
def test_a_clipped_channel_stays_clipped(tmp_path: Path, name: str) -> None:
    grid = np.stack(np.meshgrid(*[np.linspace(0, 1, 9)] * 3, indexing="ij"), -1).reshape(27, 27, 3)
    photo = read_photograph(write(tmp_path / "a.tif", grid, icc(name), 16))
    assert (photo.pixels[grid == 1] == 1).all()
    grey = np.repeat(np.linspace(0, 1, 40)[None, :, None], 3, -1)
    shown = read_photograph(write(tmp_path / "b.tif", grey, icc(name), 16)).pixels
    np.testing.assert_allclose(shown, grey, atol=2e-4)  # grey stays grey


def test_agrees_with_littlecms(tmp_path: Path, light: np.ndarray) -> None:
    for name in ("Display P3", "Adobe RGB (1998)", "ProPhoto"):
        path = write(tmp_path / "a.png", stored_in(name, light), icc(name), 8)
        image = Image.open(path)
        source = ImageCms.ImageCmsProfile(io.BytesIO(icc(name)))
        target = ImageCms.ImageCmsProfile(io.BytesIO(icc("sRGB")))
        theirs = ImageCms.profileToProfile(image, source, target, ImageCms.Intent.RELATIVE_COLORIMETRIC)
        assert theirs is not None
        ours = read_photo(path)
        linear = srgb_curve(np.asarray(theirs) / 255)
        np.testing.assert_allclose(encode(name, linear), ours, atol=0.01)


@pytest.mark.parametrize("mark", [0xFFFF, 2])
def test_adobe_rgb_by_exif_alone(tmp_path: Path, light: np.ndarray, mark: int) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769).update({0xA001: mark, 0xA005: {1: "R03"}})
    stored = np.round(stored_in("Adobe RGB (1998)", light) * 255).astype(np.uint8)
    path = tmp_path / "_a.jpg"
    Image.fromarray(stored).save(path, quality=100, subsampling=0, exif=exif.tobytes())
    photo = read_photograph(path)
    assert "Adobe RGB (1998)" in photo.notes[0]
    np.testing.assert_allclose(
        photo.pixels, shown("Adobe RGB (1998)", np.asarray(Image.open(path))), atol=1e-3
    )
    exif.get_ifd(0x8769)[0xA005] = {1: "R98"}
    Image.fromarray(stored).save(path, quality=100, subsampling=0, exif=exif.tobytes())
    assert read_photograph(path).notes == ()


@pytest.mark.parametrize("bits", [8, 16])
def test_png_primaries(tmp_path: Path, light: np.ndarray, bits: int) -> None:
    stored = np.round(stored_in("Display P3", light) * (2**bits - 1)).astype(
        np.uint16 if bits > 8 else np.uint8
    )
    plain = cv2.imencode(".png", stored[..., ::-1])[1].tobytes()
    xy = (0.3127, 0.3290, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060)
    chrm = struct.pack(">8I", *(round(v * 1e5) for v in xy))
    expected = shown("Display P3", stored)
    path = tmp_path / "a.png"
    for chunks in ([(b"cHRM", chrm)], [(b"cICP", bytes([12, 13, 0, 1]))],
                   [(b"cHRM", chrm), (b"cICP", bytes([12, 13, 0, 1])), (b"sRGB", b"\0")]):  # fmt: skip
        data = plain
        for name, content in chunks:
            data = png_chunk(data, name, content)
        path.write_bytes(data)
        np.testing.assert_allclose(read_photo(path), expected, atol=1e-3)
    path.write_bytes(png_chunk(png_chunk(plain, b"cHRM", chrm), b"sRGB", b"\0"))  # the second wins
    np.testing.assert_array_equal(read_photo(path), stored / np.float32(2**bits - 1))


@pytest.mark.parametrize(("value", "curve"), [(100000, "linear"), (45455, None), (55556, None)])
def test_png_gamma(tmp_path: Path, light: np.ndarray, value: int, curve: str | None) -> None:
    stored = np.round(light * 65535).astype(np.uint16)
    data = cv2.imencode(".png", stored[..., ::-1])[1].tobytes()
    path = tmp_path / "a.png"
    path.write_bytes(png_chunk(data, b"gAMA", struct.pack(">I", value)))
    photo = read_photograph(path)
    assert photo.curve == curve
    np.testing.assert_array_equal(photo.pixels, stored / np.float32(65535))


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG")])
def test_hdr_curves_are_refused(tmp_path: Path, light: np.ndarray, transfer: int, name: str) -> None:
    data = cv2.imencode(".png", np.round(light * 65535).astype(np.uint16))[1].tobytes()
    path = tmp_path / "a.png"
    path.write_bytes(png_chunk(data, b"cICP", bytes([9, transfer, 0, 1])))
    with pytest.raises(InputError, match=f"is stored with the HDR curve {name}"):
        read_photo(path)


def cmyk_tables() -> bytes:
    """A press whose inks take one primary of sRGB each, 0.6 of it, and black 0.4 of all: a linear map."""
    inks = np.stack(np.meshgrid(*[[0, 1]] * 4, indexing="ij"), -1).reshape(16, 4)
    light = 0.6 * (1 - inks[:, :3]) + 0.4 * (1 - inks[:, 3:])
    nodes = np.clip(np.round(light @ np.array(COLORANTS["sRGB"]) * 32768), 0, 65535).astype(">u2").tobytes()
    ends = struct.pack(">HH", 0, 65535)
    a2b = b"mft2\0\0\0\0" + bytes([4, 3, 2, 0]) + s15(1, 0, 0, 0, 1, 0, 0, 0, 1) + struct.pack(">HH", 2, 2)
    a2b += ends * 4 + nodes + ends * 3
    data = bytearray(icc("sRGB"))
    data[12:20] = b"prtrCMYK"
    at = data.index(b"rTRC")
    data[at : at + 12] = struct.pack(">4sII", b"A2B0", len(data), len(a2b))
    data[:4] = struct.pack(">I", len(data) + len(a2b))
    return bytes(data) + a2b


@pytest.mark.parametrize(("suffix", "black"), [(".tif", 0.0), (".tif", 0.4), (".jpg", 0.2)])
def test_cmyk_by_its_profile(tmp_path: Path, light: np.ndarray, suffix: str, black: float) -> None:
    inks = np.dstack([1 - light, np.full(light.shape[:2], black)])
    path = tmp_path / f"a{suffix}"
    image = Image.fromarray(np.round(inks * 255).astype(np.uint8), "CMYK")
    image.save(path, icc_profile=cmyk_tables(), **({"quality": 100} if suffix == ".jpg" else {}))
    photo = read_photograph(path)
    assert photo.notes == (f"{path} is CMYK: converted to sRGB by the colour profile",)
    stored = np.asarray(Image.open(path)) / 255
    expected = encode("sRGB", 0.6 * (1 - stored[..., :3]) + 0.4 * (1 - stored[..., 3:]))
    np.testing.assert_allclose(photo.pixels, expected, atol=2 / 255)


@pytest.mark.parametrize("damage", ["cut", "no signature", "empty", "infinite"])
@pytest.mark.parametrize(("suffix", "bits"), [(".png", 8), (".tif", 16)])
def test_a_broken_profile_is_ignored_and_said(
    tmp_path: Path, light: np.ndarray, damage: str, suffix: str, bits: int
) -> None:
    whole = icc("Display P3")
    broken = {
        "cut": whole[:300],
        "no signature": whole[:36] + b"none" + whole[40:],
        "empty": b"nothing",
        "infinite": whole.replace(
            b"XYZ \0\0\0\0" + s15(*COLORANTS["Display P3"][1]), b"XYZ \0\0\0\0" + s15(0, 0, 0)
        ),
    }[damage]
    path = write(tmp_path / f"a{suffix}", light, broken, bits)
    photo = read_photograph(path)
    assert photo.doubts == (f"{path} has a colour profile that is broken: it is ignored",)
    np.testing.assert_allclose(photo.pixels, light, atol=0.51 / (2**bits - 1))


def tables(name: str) -> bytes:
    """The same profile with a table (mft2) of two nodes a side, which holds a linear map exactly."""
    curve = np.round(decode(name, np.linspace(0, 1, 4096)) * 65535).astype(">u2").tobytes()
    corners = np.stack(np.meshgrid(*[[0, 1]] * 3, indexing="ij"), -1).reshape(8, 3)
    nodes = np.clip(np.round(corners @ np.array(COLORANTS[name]) * 32768), 0, 65535).astype(">u2").tobytes()
    a2b = b"mft2\0\0\0\0" + bytes([3, 3, 2, 0]) + s15(1, 0, 0, 0, 1, 0, 0, 0, 1) + struct.pack(">HH", 4096, 2)
    a2b += curve * 3 + nodes + struct.pack(">HH", 0, 65535) * 3
    data = icc(name)
    at = data.index(b"rTRC")
    entry = struct.pack(">4sII", b"A2B0", len(data), len(a2b))
    return struct.pack(">I", len(data) + len(a2b)) + data[4:at] + entry + data[at + 12 :] + a2b


@pytest.mark.parametrize("name", ["Display P3", "Adobe RGB (1998)"])
@pytest.mark.parametrize("suffix", [".tif", ".png", ".webp"])
def test_a_profile_of_tables(tmp_path: Path, light: np.ndarray, name: str, suffix: str) -> None:
    path = write(tmp_path / f"a{suffix}", stored_in(name, light), tables(name), 8)
    photo = read_photograph(path)
    assert photo.notes == (f"{path} has a colour profile of tables: converted to sRGB",)
    # To sRGB's own curve, by 8-bit integers.
    stored = tifffile.imread(path) if suffix == ".tif" else np.asarray(Image.open(path))
    expected = encode("sRGB", np.clip(decode(name, stored / 255) @ EXPECTED[name].T, 0, 1))
    np.testing.assert_allclose(photo.pixels, expected, atol=2 / 255)


@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_a_profile_of_tables_for_16_bits_is_refused(tmp_path: Path, light: np.ndarray, suffix: str) -> None:
    path = write(tmp_path / f"a{suffix}", light, tables("Display P3"), 16)
    with pytest.raises(InputError, match="has a colour profile of tables, which is not applied to 16 bits"):
        read_photo(path)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_frames_of_one_profile_share_it(tmp_path: Path, light: np.ndarray, suffix: str) -> None:
    first, second, other = (
        read_photograph(write(tmp_path / f"{k}{suffix}", light, icc(name), 8)).profile
        for k, name in enumerate(("Display P3", "Display P3", "ProPhoto"))
    )
    assert first is second is not None
    assert other is not None
    assert other.name != first.name


@pytest.mark.parametrize("name", EXPECTED)
def test_curves_and_their_inverse(name: str) -> None:
    profile = from_icc(icc(name))
    assert profile is not None
    np.testing.assert_allclose(profile.to_srgb, EXPECTED[name], atol=6e-3)
    # ProPhoto's curve is steep enough at black that 16 bits of it are not told apart by 1 / 65535 in light.
    values = np.linspace(0, 1, 4096)[None, :, None].repeat(3, -1).astype(np.float32)
    there = values.copy()
    profile.apply(there)
    profile.inverse().apply(there)
    np.testing.assert_allclose(there, values, atol=2e-4)


@pytest.mark.parametrize(
    "tag",
    [para(0, 2.2), para(1, 2.2, 1.0, 0.0), para(2, 2.2, 1.0, 0.0, 0.0), gamma(2.2),
     para(4, 2.2, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0)],
)  # fmt: skip
def test_ways_to_write_a_gamma(tag: bytes) -> None:
    profile = from_icc(icc("sRGB", tag))
    assert profile is not None
    np.testing.assert_allclose(profile.curves[0], np.linspace(0, 1, 65536) ** 2.2, atol=3e-3)


@pytest.mark.parametrize(
    ("name", "matrix"), [("Display P3", P3), ("Adobe RGB (1998)", ADOBE), ("BT.2020", BT2020)]
)
def test_primaries(name: str, matrix: np.ndarray) -> None:
    profile = from_chromaticities(name, PRIMARIES[name], bt709_curve)
    np.testing.assert_allclose(profile.to_srgb, matrix, atol=2e-4)


def test_primaries_on_a_line_are_no_space() -> None:
    with pytest.raises((ValueError, np.linalg.LinAlgError)):
        from_chromaticities("line", ((0.2, 0.2), (0.3, 0.3), (0.4, 0.4), (0.3127, 0.329)))
