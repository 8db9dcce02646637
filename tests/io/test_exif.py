"""Exposure from EXIF, in photographs that the tests make."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from apnt.errors import InputError
from apnt.io import ExifExposure, read_exif
from apnt.io.exif import exif_exposures

EXIF_IFD = 0x8769
TIME, SHUTTER_SPEED, F_NUMBER, APERTURE = 0x829A, 0x9201, 0x829D, 0x9202
ISO, STANDARD_SENSITIVITY, RECOMMENDED_INDEX = 0x8827, 0x8831, 0x8832


def photograph(path: Path, **tags: object) -> Path:
    """A grey JPEG or PNG with these EXIF tags, named as the constants above."""
    exif = Image.Exif()
    exif.get_ifd(EXIF_IFD).update({globals()[name]: value for name, value in tags.items()})
    image = Image.new("RGB", (24, 20), (90, 90, 90))
    image.save(path, exif=exif.tobytes()) if tags else image.save(path)
    return path


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_all_fields(tmp_path: Path, suffix: str) -> None:
    path = photograph(
        tmp_path / f"a{suffix}", TIME=IFDRational(1, 400), ISO=200, F_NUMBER=IFDRational(28, 10)
    )
    assert read_exif(path) == ExifExposure(time=1 / 400, iso=200, f_number=2.8)


def test_tiff(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tags = [(TIME, "2I", 1, (1, 400), True), (ISO, "H", 1, 400, True), (F_NUMBER, "2I", 1, (8, 1), True)]
    tifffile.imwrite(path, np.zeros((20, 24, 3), np.uint16), photometric="rgb", extratags=tags)
    assert read_exif(path) == ExifExposure(time=1 / 400, iso=400, f_number=8)
    # Pillow knows no such pixels, but the tags are there.
    tifffile.imwrite(
        path,
        np.zeros((20, 24, 2), np.uint16),
        photometric="minisblack",
        extrasamples=["unassalpha"],
        extratags=tags,
    )
    assert read_exif(path) == ExifExposure(time=1 / 400, iso=400, f_number=8)


def test_apex_fallbacks(tmp_path: Path) -> None:
    path = photograph(tmp_path / "a.jpg", SHUTTER_SPEED=IFDRational(-2, 1), APERTURE=IFDRational(4, 1))
    assert read_exif(path) == ExifExposure(time=4.0, f_number=4.0)


def test_exposure_time_before_shutter_speed(tmp_path: Path) -> None:
    path = photograph(tmp_path / "a.jpg", TIME=IFDRational(1, 60), SHUTTER_SPEED=IFDRational(59, 10))
    assert read_exif(path).time == 1 / 60


@pytest.mark.parametrize(
    ("tags", "iso"),
    [
        ({"ISO": (320, 100)}, 320),
        ({"ISO": 0}, None),
        ({"ISO": 65535}, None),
        ({"ISO": 65535, "RECOMMENDED_INDEX": 102400}, 102400),
        ({"ISO": 65535, "STANDARD_SENSITIVITY": 204800}, 204800),
        ({"STANDARD_SENSITIVITY": 800}, 800),
    ],
)
def test_iso(tmp_path: Path, tags: dict[str, object], iso: float | None) -> None:
    assert read_exif(photograph(tmp_path / "a.jpg", **tags)).iso == iso


def test_unusable_values_are_absent(tmp_path: Path) -> None:
    path = photograph(tmp_path / "a.jpg", TIME=IFDRational(1, 0), F_NUMBER=IFDRational(0, 1), ISO=0)
    assert read_exif(path) == ExifExposure()
    unknown = IFDRational(2**32 - 1, 1)
    path = photograph(tmp_path / "b.jpg", TIME=unknown, F_NUMBER=unknown, RECOMMENDED_INDEX=2**32 - 1)
    assert read_exif(path) == ExifExposure()


def test_no_exif(tmp_path: Path) -> None:
    assert read_exif(photograph(tmp_path / "a.jpg")) == ExifExposure()
    (tmp_path / "b.jpg").write_bytes(b"no picture")
    assert read_exif(tmp_path / "b.jpg") == ExifExposure()


def test_exposure_is_time_iso_and_aperture_together(tmp_path: Path) -> None:
    rows = [(IFDRational(1, 100), 100, 4), (IFDRational(1, 100), 400, 4), (IFDRational(1, 25), 100, 2)]
    paths = [
        photograph(tmp_path / f"{n}.jpg", TIME=t, ISO=iso, F_NUMBER=IFDRational(f, 1))
        for n, (t, iso, f) in enumerate(rows)
    ]
    np.testing.assert_allclose(exif_exposures(paths), [0.01 / 16, 0.04 / 16, 0.04 / 4])


def test_fields_absent_everywhere_are_ignored(tmp_path: Path) -> None:
    paths = [photograph(tmp_path / f"{n}.jpg", TIME=IFDRational(1, n)) for n in (400, 100, 25)]
    np.testing.assert_allclose(exif_exposures(paths), [1 / 400, 1 / 100, 1 / 25])


@pytest.mark.parametrize(
    ("last", "message"),
    [
        ({}, r"exposure time is missing in \S*2\.jpg: give the exposures .*--times.*--stops"),
        ({"TIME": IFDRational(1, 25), "ISO": 100}, r"aperture is missing in \S*2\.jpg"),
        ({"TIME": IFDRational(1, 25), "F_NUMBER": IFDRational(8, 1)}, r"ISO is missing in \S*2\.jpg"),
    ],
)
def test_fields_of_some_files_only(tmp_path: Path, last: dict[str, object], message: str) -> None:
    both = {"ISO": 100, "F_NUMBER": IFDRational(8, 1)}
    paths = [photograph(tmp_path / f"{n}.jpg", TIME=IFDRational(1, 400 >> n), **both) for n in range(2)]
    with pytest.raises(InputError, match=message):
        exif_exposures([*paths, photograph(tmp_path / "2.jpg", **last)])
