"""JPEGs with a gain map: whole for every reader, HDR for those that know."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from apnt.errors import InputError
from apnt.io.kept import keep_metadata
from apnt.io.picture import write_picture
from apnt.looks.colour import SRGB

Y, X = np.mgrid[0:64, 0:96] / np.array([63, 95])[:, None, None]
PICTURE = np.stack([0.2 + 0.6 * X, 0.2 + 0.6 * Y, 0.5 + 0 * X], axis=-1).astype(np.float32)
GAIN = (2 * X * Y).astype(np.float32)


def test_libultrahdr_reads_the_brighter_picture(tmp_path: Path) -> None:
    codecs = pytest.importorskip("imagecodecs", reason="decodes Ultra HDR")
    path = write_picture(
        tmp_path / "a.jpg", PICTURE, exif=keep_metadata(tmp_path / "none.jpg", (64, 96)), gain=GAIN
    )
    decoded = codecs.ultrahdr_decode(path.read_bytes())[..., :3].astype(np.float32)
    offset = 1 / 64
    wanted = (SRGB.linear(PICTURE) + offset) * np.exp2(GAIN)[..., None] - offset
    assert wanted.max() > 2.4
    assert np.abs(decoded - wanted).max() < 0.08
    assert np.abs(decoded - wanted).mean() < 0.01


def test_other_readers_see_the_picture(tmp_path: Path) -> None:
    plain = write_picture(tmp_path / "a.jpg", PICTURE)
    mapped = write_picture(tmp_path / "b.jpg", PICTURE, gain=GAIN)
    with Image.open(plain) as expected, Image.open(mapped) as image:
        np.testing.assert_array_equal(np.asarray(image.convert("RGB")), np.asarray(expected))
    data = mapped.read_bytes()
    mark = data.index(b"MPF\0") + 4  # offsets count from the byte order behind it
    assert data[mark : mark + 4] == b"MM\0*"
    first, second = (struct.unpack_from(">IIIHH", data, mark + 8 + 2 + 3 * 12 + 4 + 16 * n) for n in (0, 1))
    assert first[1:3] == (mark + second[2], 0)
    assert mark + second[2] + second[1] == len(data)
    with Image.open(io.BytesIO(data[mark + second[2] :])) as image:
        assert image.size == (96, 64)
        assert b"hdrgm:GainMapMax" in image.info["xmp"]
        assert abs(int(np.asarray(image)[-1, -1]) - 255) < 8
        assert int(np.asarray(image)[0, 0]) < 8


def test_where_gain_maps_do_not_go(tmp_path: Path) -> None:
    for name in ("a.png", "a.tif", "a.avif"):
        with pytest.raises(
            InputError, match=r"a gain map must go into a picture that ends in \.jpg, \.jpeg, got"
        ):
            write_picture(tmp_path / name, PICTURE, gain=GAIN)
    for gain in (GAIN[..., None], -GAIN - 1, GAIN * np.nan):
        with pytest.raises(InputError, match=r"gain must be \(H, W\), finite and not negative"):
            write_picture(tmp_path / "a.jpg", PICTURE, gain=gain)
    assert not list(tmp_path.iterdir())
