"""JPEG files that were cut and closed with an end marker, which libjpeg fills with grey in silence."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from apnt.errors import InputError
from apnt.io import read_photo

END = b"\xff\xd9"
KINDS = {
    "baseline": {},
    "progressive": {"progressive": True},
    "restart": {"restart_marker_rows": 1},
    "444": {"subsampling": 0},
    "optimised": {"optimize": True},
}


def encoded(pixels: np.ndarray, options: dict[str, object]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=88, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


@pytest.fixture
def pixels(picture: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, 0.03, picture.shape)
    return np.round(np.clip(picture + noise, 0, 1) * 255).astype(np.uint8)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kept", [0.5, 0.8, 0.95, 0.99])
@pytest.mark.parametrize("grey", [False, True])
def test_cut_and_closed(
    tmp_path: Path, pixels: np.ndarray, kind: str, kept: float, grey: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    data = encoded(pixels[..., 0] if grey else pixels, KINDS[kind])
    path = tmp_path / "a.jpg"
    path.write_bytes(data)
    whole = read_photo(path)
    np.testing.assert_array_equal(whole, np.asarray(Image.open(path).convert("RGB")) / np.float32(255))
    start = data.index(b"\xff\xda") + 12
    path.write_bytes(data[: start + int(kept * (len(data) - start))].rstrip(b"\xff") + END)
    with pytest.raises(InputError, match=r"a\.jpg is truncated or no photograph"):
        read_photo(path)


@pytest.mark.parametrize("level", [0, 127, 128, 129, 255])
@pytest.mark.parametrize("kind", KINDS)
def test_flat_pictures_are_whole(tmp_path: Path, level: int, kind: str) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(encoded(np.full((40, 50, 3), level, np.uint8), KINDS[kind]))
    np.testing.assert_allclose(read_photo(path), level / 255, atol=1e-6)


@pytest.mark.parametrize("after", [b"\0" * 100, b"more" * 50, "a second picture"])
@pytest.mark.parametrize("kind", ["baseline", "progressive"])
def test_what_follows_the_picture_does_not_matter(
    tmp_path: Path, pixels: np.ndarray, after: bytes | str, kind: str
) -> None:
    data = encoded(pixels, KINDS[kind])
    flat = pixels.copy()
    flat[-16:] = 128  # the last blocks look like missing ones
    for shown in (data, encoded(flat, KINDS[kind])):
        path = tmp_path / "a.jpg"
        path.write_bytes(shown)
        alone = read_photo(path)
        path.write_bytes(shown + (data if isinstance(after, str) else after))
        np.testing.assert_array_equal(read_photo(path), alone)


@pytest.mark.parametrize("frame", [0xC3, 0xC5, 0xC9])
def test_other_kinds_of_jpeg_are_named(tmp_path: Path, pixels: np.ndarray, frame: int) -> None:
    data = encoded(pixels, {}).replace(b"\xff\xc0", bytes([0xFF, frame]), 1)
    (tmp_path / "a.jpg").write_bytes(data)
    with pytest.raises(
        InputError, match=f"is a JPEG with 8 bits of the type SOF{frame - 0xC0}, which is not read"
    ):
        read_photo(tmp_path / "a.jpg")


def test_twelve_bits_are_named(tmp_path: Path, pixels: np.ndarray) -> None:
    codecs = pytest.importorskip("imagecodecs", reason="writes JPEG with 12 bits")
    data = codecs.jpeg8_encode((pixels.astype(np.uint16) << 4), bitspersample=12)
    (tmp_path / "a.jpg").write_bytes(data)
    with pytest.raises(InputError, match="is a JPEG with 12 bits of the type SOF1, which is not read"):
        read_photo(tmp_path / "a.jpg")
