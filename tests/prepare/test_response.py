"""A response maps values to light and back; named ones are the standards' formulas; files are checked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from apnt.errors import InputError
from apnt.prepare.response import NAMED, Response, response_of

LEVELS = np.linspace(0.0, 1.0, 256)


def grey(values: np.ndarray) -> np.ndarray:
    return np.stack([values] * 3, axis=-1)


@pytest.fixture
def camera() -> Response:
    """Three different curves with 256 levels."""
    s_curve = 0.4 * LEVELS + 0.6 * LEVELS**2 * (3 - 2 * LEVELS)
    return Response('a "camera"\n', np.stack([LEVELS**0.8, s_curve, LEVELS**1.3]))


# IEC 61966-2-1 and ITU-R BT.709, worked by hand.
@pytest.mark.parametrize(
    ("name", "value", "light"),
    [
        ("gamma22", 0.5, 0.217637641),
        ("srgb", 0.5, 0.214041140),
        ("srgb", 0.02, 0.02 / 12.92),
        ("bt709", 0.5, 0.259589414),
        ("bt709", 0.045, 0.01),
        ("linear", 0.3, 0.3),
    ],
)
def test_named_curves_are_the_standards(name: str, value: float, light: float) -> None:
    found = Response(name).linear(np.full((1, 3), value, np.float32))
    assert found.dtype == np.float32
    assert found == pytest.approx(np.full((1, 3), light), rel=1e-5)


@pytest.mark.parametrize("name", NAMED)
def test_named_curves_and_their_inverses(name: str) -> None:
    values = np.random.default_rng(0).random((5, 7, 3), dtype=np.float32)
    response = Response(name)
    assert response.encode(response.linear(values)) == pytest.approx(values, abs=2e-6)
    ends = grey(np.array([0, 1], np.float32))
    assert np.array_equal(response.linear(ends), ends)
    assert (np.diff(response.linear(grey(LEVELS.astype(np.float32))), axis=0) > 0).all()


def test_a_table_is_the_power_of_its_interpolated_levels(camera: Response) -> None:
    assert camera.table is not None
    values = np.random.default_rng(1).random((400, 3), dtype=np.float32)
    expected = np.stack([np.interp(values[:, c], LEVELS, camera.table[c]) for c in range(3)], -1) ** 2.2
    assert camera.linear(values) == pytest.approx(expected, rel=2e-5, abs=1e-9)


def test_a_table_and_its_inverse(camera: Response) -> None:
    values = np.random.default_rng(2).random((40, 30, 3), dtype=np.float32)
    assert camera.encode(camera.linear(values)) == pytest.approx(values, abs=2e-5)
    # More light than a sensor holds is white, less than none is black.
    assert camera.encode(np.array([[-1.0, 2.0, np.inf]])).tolist() == [[0, 1, 1]]


def test_channels_keep_their_own_curve(camera: Response) -> None:
    light = camera.linear(np.full((1, 3), 0.25, np.float32))[0]
    assert light[0] > 1.5 * light[2]


def test_a_large_image_is_mapped_piece_by_piece(camera: Response, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(3).random((31, 17, 3), dtype=np.float32)
    whole = camera.linear(pixels)
    monkeypatch.setattr("apnt.prepare.response._CHUNK", 100)
    assert np.array_equal(camera.linear(pixels), whole)
    assert np.array_equal(camera.linear(pixels[:, ::-2]), whole[:, ::-2])
    assert camera.linear(np.zeros((0, 4, 3), np.float32)).shape == (0, 4, 3)


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.zeros((2, 2), np.float32), r"shape \(..., 3\), got \(2, 2\)"),
        (np.zeros((2, 3), np.uint8), "float in .0, 1., got uint8"),
        (np.full((2, 3), 1.5, np.float32), "got 1.5 to 1.5"),
        (np.array([[0.1, np.nan, 0.2]], np.float32), "got nan"),
    ],
)
def test_what_is_no_image_is_refused(pixels: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Response("srgb").linear(pixels)


def test_light_that_is_no_number_is_refused() -> None:
    with pytest.raises(InputError, match="light must be numbers"):
        Response("srgb").encode(np.array([0.1, np.nan, 0.2]))
    with pytest.raises(InputError, match=r"light must have shape"):
        Response("srgb").encode(np.zeros((3, 2)))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (np.zeros((2, 256)), r"table must"),
        (np.stack([[0.0, 0.5, 0.5, 1.0]] * 3), "red must increase, and it does not after level 1"),
        (np.stack([[0.1, 0.5, 1.0]] * 3), "red must run from 0 to 1, got 0.1 to 1"),
        (np.array([[0.0, 0.5, 1.0], [0.0, np.nan, 1.0], [0.0, 0.5, 1.0]]), "green must be finite"),
    ],
)
def test_tables_that_are_none(table: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Response("camera", table)


def test_names() -> None:
    with pytest.raises(InputError, match="response must be one of gamma22, srgb, bt709, linear"):
        Response("rec2020")
    with pytest.raises(InputError, match="name must not be that of a formula"):
        Response("srgb", np.stack([LEVELS] * 3))


def test_what_was_saved_is_read_exactly(camera: Response, tmp_path: Path) -> None:
    assert camera.table is not None
    camera.save(tmp_path / "camera.toml")
    again = response_of(tmp_path / "camera.toml")
    assert again.name == camera.name
    assert again.table is not None
    assert np.array_equal(again.table, camera.table)
    Response("bt709").save(tmp_path / "named.toml")
    assert Response.load(tmp_path / "named.toml").name == "bt709"
    assert response_of(camera) is camera
    assert response_of("linear").name == "linear"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no toml", "must be a response file in TOML"),
        ('name = "srgb"', "format must be 1, got none"),
        ('format = 2\nname = "srgb"', "format must be 1, got 2"),
        ('format = 1\nname = "srgb"\ngamma = 2', "its keys must be format, name and table, and it has gamma"),
        ("format = 1\nname = 3", "name must be text, got 3"),
        ('format = 1\nname = "x"', "response must be one of gamma22"),
        ('format = 1\nname = "x"\n[table]\nred = [0.0, 1.0]', "table must have the keys red, green, blue"),
        (
            'format = 1\nname = "x"\n[table]\nred = 1\ngreen = [0, 1]\nblue = [0, 1]',
            "table.red must be a list",
        ),
        ('format = 1\nname = "x"\n[table]\nred = ["a"]\ngreen = [0, 1]\nblue = [0, 1]', "list of numbers"),
        ('format = 1\nname = "x"\n[table]\nred = [true]\ngreen = [0, 1]\nblue = [0, 1]', "list of numbers"),
        (
            'format = 1\nname = "x"\n[table]\nred = [0, 0.5, 1]\ngreen = [0, 1]\nblue = [0, 1]',
            r"of one length, got \[3, 2, 2\]",
        ),
        (
            'format = 1\nname = "x"\n[table]\nred = [0, inf]\ngreen = [0, 1]\nblue = [0, 1]',
            "red must be finite",
        ),
    ],
)
def test_files_that_hold_no_response(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "camera.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        Response.load(path)
    assert str(path) in str(caught.value)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"curve does not exist: check the path, .*missing\.toml"):
        Response.load(tmp_path / "missing.toml")
    with pytest.raises(InputError, match="or a response file, got 'sRGB'"):
        response_of("sRGB")
    with pytest.raises(InputError, match=r"response must end in \.toml"):
        Response("srgb").save(tmp_path / "camera.json")
