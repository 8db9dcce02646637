"""Pictures of radiance: where the middle goes, what stays dark, and what no look may do."""

from __future__ import annotations

import numpy as np
import pytest

import apnt
from apnt.errors import InputError
from apnt.looks import HDR_LOOKS, LOOKS, operators, render, render_with_gain
from apnt.looks.colour import SRGB, Seen, coloured, luminance, yellower
from apnt.looks.developed import _paled


def as_taken(radiance: np.ndarray, white: float) -> np.ndarray:
    """The photograph whose exposure clips at a radiance, with a camera's contrast curve, in 8 bits."""
    light = np.clip(radiance / white, 0, 1)
    shown = np.where(light < 0.18, light * (light / 0.18) ** 0.3, light)
    return np.round(SRGB.encode(shown.astype(np.float32)) * 255).astype(np.uint8)


def shown(picture: np.ndarray, where: np.ndarray) -> float:
    """Mean linear luminance of a part of a picture, uint8 or float."""
    unit = picture / np.float32(255) if picture.dtype == np.uint8 else picture
    return float(luminance(SRGB.linear(unit))[where].mean())


@pytest.fixture(scope="module")
def night() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A night: radiance, the medium exposure, and where the sky is.

    A dark sky with a glow over a street whose lamps are twelve stops brighter.
    """
    rng = np.random.default_rng(1)
    height, width = 160, 240
    y, x = np.mgrid[0:height, 0:width]
    sky = y < 96
    light = np.where(sky, 2e-4 * (1 + 0.5 * y / 96), 6e-4 + 4e-4 * np.sin(x / 9.0) ** 2)
    for cx in (30, 110, 200):
        distance = np.hypot(y - 110, x - cx)
        light = light + 0.02 * np.exp(-((distance / 14) ** 2)) + 0.9 * (distance < 3)
    scene = light[..., None] * np.array([0.9, 1.0, 1.1]) * rng.uniform(0.97, 1.03, (height, width, 1))
    scene = np.clip(scene, 0, 1).astype(np.float32)
    return scene, as_taken(scene, 2.0**-6), sky & (np.abs(x - 115) > 200) | (y < 60)


@pytest.fixture(scope="module")
def day() -> tuple[np.ndarray, np.ndarray]:
    """A room with a window: radiance from 2**-9 to 1, coloured, and the exposure that shows the room."""
    rng = np.random.default_rng(2)
    y, x = np.mgrid[0:120, 0:180]
    window = (x > 110) & (y < 70)
    light = np.where(window, 0.25 + 0.7 * (x - 110) / 70, 0.012 * 2 ** (-y / 60.0))
    colour = np.where(window[..., None], [0.7, 0.9, 1.2], [1.2, 1.0, 0.7])
    scene = light[..., None] * colour * rng.uniform(0.8, 1.2, (120, 180, 1))
    scene = np.clip(scene, 0, 1).astype(np.float32)
    return scene, as_taken(scene, 2.0**-4.5)


def test_night_stays_night(night: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    scene, medium, sky = night
    picture = render(scene, like=medium)
    assert abs(np.log2(shown(picture, sky) / shown(medium, sky))) < 1 / 3
    lamp = picture[108:113, 28:33]
    assert lamp.min() > 0.85  # and a lamp is bright
    bright = shown(render(scene), sky) / shown(medium, sky)
    assert bright > 4  # without a photograph nobody knows that it is night


@pytest.mark.parametrize("look", LOOKS)
def test_the_median_of_the_photograph_is_kept(day: tuple[np.ndarray, np.ndarray], look: str) -> None:
    scene, medium = day
    trusted = (medium.max(axis=-1) < 245) & (medium.max(axis=-1) > 20)
    wanted = np.median(luminance(SRGB.linear(medium / np.float32(255)))[trusted])
    got = np.median(luminance(SRGB.linear(render(scene, like=medium, look=look)))[trusted])
    assert abs(np.log2(got / wanted)) < 0.2


@pytest.mark.parametrize("look", LOOKS)
def test_exposure_brightens_by_as_many_stops(day: tuple[np.ndarray, np.ndarray], look: str) -> None:
    scene, medium = day
    dark = np.zeros(scene.shape[:2], bool)
    dark[90:, :100] = True
    plain, brighter = (
        render(scene, like=medium, look=look, exposure=ev, white_balance="as-shot") for ev in (0.0, 1.0)
    )
    assert np.log2(shown(brighter, dark) / shown(plain, dark)) == pytest.approx(1.0, abs=0.3)


@pytest.mark.parametrize("look", ["local", "filmic", "reinhard", "display"])
def test_highlights_that_the_photograph_lost_are_shown(day: tuple[np.ndarray, np.ndarray], look: str) -> None:
    scene, medium = day
    window = np.s_[10:60, 120:175]
    assert (medium[window] == 255).all(axis=-1).mean() > 0.9
    picture = render(scene, like=medium, look=look)
    values = luminance(picture)[window]
    assert np.percentile(values, 95) - np.percentile(values, 5) > 0.04
    assert (picture[window].min(axis=-1) > 0.999).mean() < 0.05


def oklab_hue(linear: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Hue in degrees and chroma of linear sRGB (Ottosson 2020), the hue that eyes see."""
    lms = linear @ np.array(
        [
            [0.4122214708, 0.2119034982, 0.0883024619],
            [0.5363325363, 0.6806995451, 0.2817188376],
            [0.0514459929, 0.1073969566, 0.6299787005],
        ]
    )
    root = np.cbrt(lms)
    a = root @ np.array([1.9779984951, -2.4285922050, 0.4505937099])
    b = root @ np.array([0.0259040371, 0.7827717662, -0.8086757660])
    return np.degrees(np.arctan2(b, a)), np.hypot(a, b)


@pytest.mark.parametrize("look", ["local", "filmic", "reinhard", "display"])
@pytest.mark.parametrize("colour", [(0.4, 0.7, 1.0), (1.0, 0.45, 0.25), (0.4, 1.0, 0.3)])
def test_hue_stays_up_to_white(look: str, colour: tuple[float, ...]) -> None:
    ramp = np.exp2(np.linspace(-6, 0, 200, dtype=np.float32))[None, :, None].repeat(40, 0)
    scene = ramp * np.array(colour, np.float32)
    hue, chroma = oklab_hue(SRGB.linear(render(scene, look=look))[20])
    wanted, _ = oklab_hue(scene[20])
    seen = chroma > 0.02
    assert seen.sum() > 100
    # Where one channel is in its shoulder and the others are not, hues turn as a camera's do, by 14 degrees
    # at most; clipped channels would turn this orange by 50.
    assert np.abs(hue - wanted)[seen].max() < 14
    assert np.abs(hue - wanted)[[0, 60, 120]].max() < 4


def test_colours_beyond_white_keep_their_hue() -> None:
    image = np.random.default_rng(4).uniform(0.05, 1, (40, 40, 3)).astype(np.float32)
    wanted, _ = oklab_hue(image)
    for brightness in (0.1, 0.5, 0.8):
        picture = coloured(np.full((40, 40), brightness, np.float32), image)
        assert picture.max() <= 1
        hue, chroma = oklab_hue(picture)
        inside = (chroma > 0.02) & (picture.max(axis=-1) < 1) & (picture.min(axis=-1) > 0)
        assert inside.sum() > 400
        assert np.abs((hue - wanted + 180) % 360 - 180)[inside].max() < 0.5


def test_faint_colours_that_are_brightened_become_paler() -> None:
    """Dark panes under a bright sky: what colour the photograph has there is that of its black level."""
    panes = np.broadcast_to(np.array([1.2, 1.0, 2.5], np.float32), (8, 8, 3)) * np.float32(2.0**-11)
    shown = luminance(panes)
    for brighter, left in ((-1.0, 1.0), (0.0, 1.0), (1.0, 0.35)):
        paled = _paled(panes.copy(), np.full((8, 8), brighter, np.float32))
        np.testing.assert_allclose(luminance(paled), shown, rtol=1e-4)
        assert np.ptp(paled) / np.ptp(panes) == pytest.approx(left, abs=0.02)
    bright = panes * np.float32(64)
    np.testing.assert_allclose(_paled(bright.copy(), np.ones((8, 8), np.float32)), bright, rtol=1e-5)


@pytest.mark.parametrize("look", LOOKS)
def test_pictures_do_not_depend_on_the_scale(day: tuple[np.ndarray, np.ndarray], look: str) -> None:
    scene, medium = day
    np.testing.assert_allclose(
        render(scene, like=medium, look=look), render(scene * 1e-3, like=medium, look=look), atol=2e-3
    )


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("kind", ["black", "flat", "one lamp", "one pixel"])
def test_extremes(look: str, kind: str) -> None:
    scene = (
        np.zeros((24, 30, 3), np.float32) if kind != "one pixel" else np.full((1, 1, 3), 1e-20, np.float32)
    )
    if kind == "flat":
        scene[:] = 0.3
    elif kind == "one lamp":
        scene[4:7, 4:7] = 1.0
    picture = render(scene, look=look)
    assert picture.shape == scene.shape
    assert picture.dtype == np.float32
    assert np.isfinite(picture).all()
    assert picture.min() >= 0
    assert picture.max() <= 1
    assert (picture.max() == 0) == (kind == "black")


def test_a_step_gets_no_halo() -> None:
    scene = np.full((64, 200, 3), 0.002, np.float32)
    scene[:, 100:] = 0.5
    rows = luminance(SRGB.linear(render(scene)))[32]
    assert rows[:95].max() / rows[:95].min() < 1.1
    assert rows[105:].max() / rows[105:].min() < 1.1
    assert (np.diff(rows) > -0.02).all()


@pytest.mark.parametrize(
    ("balance", "check"),
    [
        (
            "as-shot",
            lambda red, blue: red == pytest.approx(1, rel=1e-3) and blue == pytest.approx(1, rel=1e-3),
        ),
        ("6504K", lambda red, blue: red == pytest.approx(1, abs=0.02) and blue == pytest.approx(1, abs=0.02)),
        ("3200K", lambda red, blue: red < 0.8 and blue > 1.3),
        ("9000K", lambda red, blue: red > 1.05 and blue < 0.95),
        (
            "2,1,0.5",
            lambda red, blue: red == pytest.approx(2, rel=1e-3) and blue == pytest.approx(0.5, rel=1e-3),
        ),
        (
            (2.0, 1.0, 0.5),
            lambda red, blue: red == pytest.approx(2, rel=1e-3) and blue == pytest.approx(0.5, rel=1e-3),
        ),
    ],
)
def test_white_balance(balance: object, check: object) -> None:
    scene = np.full((20, 20, 3), 0.2, np.float32)
    scene[10:] = 0.1
    plain = SRGB.linear(render(scene, look="none", exposure=-3))
    balanced = SRGB.linear(render(scene, look="none", exposure=-3, white_balance=balance))  # type: ignore[arg-type]
    gains = balanced[15, 15] / plain[15, 15]
    assert check(gains[0] / gains[1], gains[2] / gains[1])  # type: ignore[operator]
    assert luminance(balanced)[15, 15] == pytest.approx(luminance(plain)[15, 15], rel=0.02)


def test_grey_world_makes_the_mean_grey() -> None:
    scene = np.random.default_rng(3).uniform(0.01, 0.3, (30, 30, 1)) * np.array([1.6, 1.0, 0.5])
    linear = SRGB.linear(render(scene.astype(np.float32), look="none", white_balance="grey-world"))
    assert np.ptp(np.log2(linear).mean(axis=(0, 1))) < 0.05


@pytest.mark.parametrize("look", HDR_LOOKS)
def test_gain(day: tuple[np.ndarray, np.ndarray], look: str) -> None:
    scene, medium = day
    picture, gain = render_with_gain(scene, like=medium, look=look, headroom=2.0)
    np.testing.assert_array_equal(picture, render(scene, like=medium, look=look))
    assert gain.shape == scene.shape[:2]
    assert gain.min() >= 0
    assert gain.max() <= 2
    assert gain[10:60, 150:].mean() > 0.8  # the window shines
    assert gain[80:].mean() < 0.2  # the room stays as it is


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"look": "vivid"}, "look must be one of local, filmic, display, reinhard, none, got 'vivid'"),
        ({"exposure": float("nan")}, "exposure must lie from -20 to 20 stops, got nan"),
        ({"exposure": 30.0}, "got 30"),
        ({"white_balance": "warm"}, "white balance must be as-shot, grey-world, .* got 'warm'"),
        ({"white_balance": "100K"}, "from 2000K to 25000K, got 100K"),
        ({"white_balance": "1,0,1"}, "got '1,0,1'"),
        ({"white_balance": (1.0, 2.0)}, r"got \(1.0, 2.0\)"),
        ({"like": np.zeros((4, 4, 3), np.uint8)}, "like must be a photograph of the radiance's size"),
        ({"like": np.zeros((20, 30, 3), np.uint8)}, "neither saturated nor black"),
        ({"like": np.full((20, 30, 3), 255, np.uint8)}, "neither saturated nor black"),
    ],
)
def test_bad_requests(options: dict[str, object], message: str) -> None:
    scene = np.full((20, 30, 3), 0.1, np.float32)
    with pytest.raises(InputError, match=message):
        render(scene, **options)  # type: ignore[arg-type]


def test_bad_gain_requests() -> None:
    scene = np.full((20, 30, 3), 0.1, np.float32)
    with pytest.raises(
        InputError, match=r"look must be one of local, filmic, none for a gain map, got 'display'"
    ):
        render_with_gain(scene, look="display")
    with pytest.raises(InputError, match=r"headroom must lie above 0 and up to 20 stops, got 0"):
        render_with_gain(scene, headroom=0)


def test_render_is_public() -> None:
    assert apnt.render is render


def test_strips_leave_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    radiance = (rng.random((333, 141, 3), np.float32) ** 6 + np.float32(1e-4)) * np.linspace(
        0.1, 9, 333, dtype=np.float32
    ).reshape(-1, 1, 1)
    whole = render(radiance)
    monkeypatch.setattr("apnt.strips._ROWS", 40)
    monkeypatch.setattr("apnt.looks.local_laplacian._PIXELS", 141 * 40)
    np.testing.assert_array_equal(render(radiance), whole)


def test_what_is_far_above_white_keeps_its_detail() -> None:
    """Columns of a floodlit house, one stop apart, around three stops above the photograph's white."""
    light = np.full((160, 240, 3), 0.02, np.float32)
    columns = np.where(np.arange(100) // 5 % 2, 2**0.5, 2**-0.5).astype(np.float32)
    light[40:120, 70:170] = 8 * columns[None, :, None]
    photo = SRGB.encode(np.clip(light, 0, 1))
    shown = {
        look: np.log2(luminance(SRGB.linear(render(light, like=photo, look=look))))[80, 80:160]
        for look in ("local", "filmic")
    }
    assert np.ptp(shown["local"]) > 0.95
    assert np.ptp(shown["filmic"]) < 0.7


def test_a_floodlit_house_keeps_its_columns_by_night(monkeypatch: pytest.MonkeyPatch) -> None:
    """A portico brighter than its wings: as a whole it would come to white, and its columns with it."""
    columns = np.where(np.arange(72) // 6 % 2, np.float32(0.5), np.float32(-0.5))
    stops = np.full((192, 288), -7, np.float32)
    stops[160:] = np.linspace(-7, -0.2, 288, dtype=np.float32)
    stops[60:150, 40:250] = 0.3
    stops[70:150, 108:180] = 2 + columns

    def kept() -> float:
        portico = operators.local(stops, -7.0, 0.0)[80:140, 108:180]
        return float(portico[:, columns > 0].mean() - portico[:, columns < 0].mean())

    by_night = kept()
    monkeypatch.setattr(operators, "_FLOODLIT", (100.0, 200.0))
    assert kept() < 0.65
    assert by_night > 0.85


@pytest.mark.parametrize("look", ["local", "filmic"])
def test_only_nights_with_burnt_out_light_are_opened(look: str) -> None:
    stops = np.full((64, 96), -7, np.float32)
    stops[:8, :16] = -1.5
    as_it_is = LOOKS[look](stops, -7.0, 0.0)[-8:].mean()
    stops[:8, :16] = 2
    assert LOOKS[look](stops, -7.0, 0.0)[-8:].mean() - as_it_is == pytest.approx(0.15, abs=0.05)
    by_day = LOOKS[look](stops + 4, -3.0, 0.0)
    assert by_day[-8:].mean() == pytest.approx(-3, abs=0.05)


def test_orange_turns_to_yellow_and_nothing_else() -> None:
    image = np.array(
        [[[1, 0.55, 0.3], [1, 0.2, 0.2], [0.3, 0.5, 1], [0.2, 1, 0.3], [0.5, 0.5, 0.5]]], np.float32
    )
    hue, chroma = oklab_hue(image)
    turned, turned_chroma = oklab_hue(yellower(image, np.ones((1, 5), np.float32)))
    assert 8 < turned[0, 0] - hue[0, 0] < 12
    assert 0 <= turned[0, 1] - hue[0, 1] < 6  # red
    np.testing.assert_allclose(turned[0, 2:4], hue[0, 2:4], atol=0.05)
    np.testing.assert_allclose(turned_chroma, chroma, atol=0.002)
    np.testing.assert_array_equal(yellower(image, np.zeros((1, 5), np.float32)), image)


def test_strong_light_colours_of_burnt_out_light_roll_off() -> None:
    """Smoothly: stronger ones stay the stronger, of the same hue; dark ones stay."""
    strength = np.linspace(0, 0.9, 40, dtype=np.float32)
    image = (1 - strength * np.array([0, 0.5, 1], np.float32)[:, None]).T[None].astype(np.float32)
    one = np.ones((1, 40), np.float32)
    for brightness, lost in ((0.5, True), (0.01, False)):
        target = np.full((1, 40), brightness, np.float32)
        plain, paler = coloured(target, image), coloured(target, image, Seen(one, 0 * one, one))
        spread = [np.ptp(np.cbrt(x[0]), axis=-1) for x in (plain, paler)]
        if lost:
            assert spread[1][-1] < 0.75 * spread[0][-1]
            assert (np.diff(spread[1]) > -1e-3).all()
            np.testing.assert_array_equal(paler[0].argsort(-1)[1:], plain[0].argsort(-1)[1:])
        else:
            np.testing.assert_array_equal(paler, plain)
        np.testing.assert_array_equal(coloured(target, image, Seen(0 * one, 0 * one, one)), plain)


def test_what_a_photograph_shows_white_loses_its_tint_and_stays_colourful_where_it_is() -> None:
    tints = np.array([[[1, 0.95, 0.92], [1, 0.6, 0.3]]], np.float32)
    target, one = np.full((1, 2), 0.8, np.float32), np.ones((1, 2), np.float32)
    plain, shown_white = (coloured(target, tints, Seen(0 * one, white, one)) for white in (0 * one, one))
    spread = np.ptp(np.cbrt(plain[0]), axis=-1), np.ptp(np.cbrt(shown_white[0]), axis=-1)
    assert spread[1][0] < 0.6 * spread[0][0]
    assert spread[1][1] > 0.97 * spread[0][1]
    np.testing.assert_allclose(luminance(shown_white), luminance(plain), rtol=0.02)


def test_pure_light_stays_pure_however_bright() -> None:
    """Magenta of a stage light, as a photograph shows it: white would look like another material."""
    scene = np.zeros((48, 48, 3), np.float32)
    scene[..., 1] = 1e-5
    scene[..., [0, 2]] = np.geomspace(1e-3, 1, 48, dtype=np.float32)[:, None, None]
    picture = render(scene, like=as_taken(scene, 2.0**-5))
    assert picture[-8:, :, 1].max() < 0.1
    assert picture[-8:, :, [0, 2]].min() > 0.8


def test_the_edge_of_a_pure_beam_has_no_bands() -> None:
    """Blue grows faster than red and is past white: red must not fall, as it would at a kept ratio."""
    red = np.linspace(0.2, 0.4, 60, dtype=np.float32)
    image = np.stack([red, 0 * red, np.linspace(0.5, 3, 60, dtype=np.float32)], axis=-1)[None]
    one, target = np.ones((1, 60), np.float32), luminance(image)
    falls = [
        float(np.diff(coloured(target, image, Seen(0 * one, 0 * one, pale))[0, :, 0]).min())
        for pale in (0 * one, one)
    ]
    assert falls[0] >= -1e-6 > falls[1]
    pure = coloured(target, image, Seen(0 * one, 0 * one, 0 * one))
    assert pure.max() <= 1
    np.testing.assert_array_less(0, np.diff(pure[0, :, 2]))


def test_shadows_do_not_close_by_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside a lit wall local contrast would make a shadow a stop darker; a night stays one."""
    x = np.linspace(-1, 1, 96, dtype=np.float32)
    stops = np.where(np.abs(x) < 0.05, np.float32(-6), np.float32(-3))[None].repeat(64, 0)
    stops[:8] = 1.5  # above white, so that there is a curve

    def lost() -> float:
        filmic, local = (look(stops, -2.0, 0.0) for look in (operators.filmic, operators.local))
        return float((filmic - local)[stops == -6].mean())

    by_day = lost()
    monkeypatch.setattr(operators, "daylight", lambda middle: 0.0)
    assert by_day < 0.7
    assert lost() > 1.1
