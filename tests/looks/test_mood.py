"""What is read off a photograph: its curves, and whether it is darker than it need be."""

from __future__ import annotations

import numpy as np
import pytest

from apnt.errors import InputError
from apnt.looks import render
from apnt.looks.colour import SRGB, luminance
from apnt.looks.mood import mood_of


def stage(brightest: float) -> tuple[np.ndarray, np.ndarray]:
    """Radiance of a dim violet scene with hardly any green, and a photograph in eight bits with its noise.

    A tenth of it comes to ``brightest`` in the largest channel, linear, the rest to a sixth of that.
    """
    rng = np.random.default_rng(5)
    x = np.mgrid[0:120, 0:160][1]
    light = np.where(x > 143, 1.0, 1 / 6)[..., None] * np.array([0.35, 0.002, 1.0]) * brightest
    photo = SRGB.encode(np.clip(light + rng.normal(0, 1e-3, light.shape), 0, 1).astype(np.float32))
    scene = np.maximum(light + rng.normal(0, 2e-4, light.shape), 0) / 8
    return scene.astype(np.float32), np.round(photo * 255).astype(np.uint8)


def test_a_picture_in_which_nothing_is_bright_is_opened_two_thirds_of_the_way() -> None:
    scene, photo = stage(1 / 8)
    assert mood_of(scene, photo / np.float32(255)).lift == pytest.approx(1.3, abs=0.05)  # 1/8 to 1/2: 2 stops
    for look, stops in (("local", 1.3), ("filmic", 1.3), ("reinhard", 1.3), ("none", 0.0)):
        picture = render(scene, like=photo, look=look)
        ratio = (
            luminance(SRGB.linear(picture)).mean() / luminance(SRGB.linear(photo / np.float32(255))).mean()
        )
        assert np.log2(ratio) == pytest.approx(stops, abs=0.15)


def test_a_picture_with_something_bright_stays() -> None:
    scene, photo = stage(0.6)
    mood = mood_of(scene, photo / np.float32(255))
    assert mood.lift == 0
    assert mood.opened() == mood or mood.opened().middle == mood.middle
    dark = np.s_[:, :140]
    ratio = luminance(SRGB.linear(render(scene, like=photo)))[dark].mean()
    ratio /= luminance(SRGB.linear(photo / np.float32(255)))[dark].mean()
    assert abs(np.log2(ratio)) < 0.2


def test_a_longer_exposure_tells_what_a_dark_photograph_does_not() -> None:
    """A camera whose curve is steep where it is dark, and a frame of whose red noise is left."""
    rng = np.random.default_rng(1)
    scene = np.exp2(rng.uniform(-5.5, -3.5, (120, 160, 1)).astype(np.float32)) * np.array([0.3, 0.03, 1.0])
    scene = np.repeat(np.repeat(scene[::8, ::8], 8, 0), 8, 1).astype(np.float32)

    def camera(exposure: float, noise: float = 0.004) -> np.ndarray:
        light = np.maximum(scene * exposure + rng.normal(0, noise, scene.shape), 0)
        return np.clip(light / (light + 0.4) * 1.4 * light**0.3 / 0.5**0.3, 0, 1) ** (1 / 2.2)

    dark, longer = camera(1.0), camera(8.0)
    wanted = SRGB.linear(camera(2.0, 0.0).astype(np.float32))
    ratio = (wanted[..., 0] / wanted[..., 2]).mean()
    found = []
    for more in (None, (longer.astype(np.float32), 3.0)):
        picture = SRGB.linear(render(scene, like=dark.astype(np.float32), longer=more, look="filmic"))
        found.append(float((picture[..., 0] / picture[..., 2]).mean()))
    assert abs(np.log2(found[1] / ratio)) < 0.5 * abs(np.log2(found[0] / ratio))
    for stops in (0.0, -1.0, float("nan")):
        with pytest.raises(InputError, match="longer must be longer by more than 0"):
            render(scene, like=dark, longer=(longer, stops))
    with pytest.raises(InputError, match="longer must be left out without like"):
        render(scene, longer=(longer, 1.0))
    with pytest.raises(InputError, match=r"longer must have shape \(H, W, 3\)"):
        render(scene, like=dark, longer=(longer[0, 0], 1.0))


def test_noise_does_not_make_a_dark_channel_brighter() -> None:
    scene, photo = stage(1 / 8)
    picture = SRGB.linear(render(scene, like=photo))
    seen = picture.reshape(-1, 3).mean(axis=0)
    # Of green there is 0.002 of the blue. A curve read off those pixels that are not black in the photograph
    # shows nine times that.
    assert seen[1] / seen[2] < 0.008
    assert seen[0] / seen[2] == pytest.approx(0.35, rel=0.1)


def test_highlights_have_the_colour_of_a_shorter_exposure() -> None:
    # A camera's curve for each channel; a lamp's glow of one colour from 1/64 to 16 times the white.
    light = np.exp2(np.linspace(-6, 4, 300, dtype=np.float32))[None, :, None].repeat(60, 0)
    scene = light * np.array([1.0, 0.55, 0.3], np.float32)

    def camera(radiance: np.ndarray) -> np.ndarray:
        shown = radiance / (radiance + np.float32(0.6)) * np.float32(1.6)
        return np.round(SRGB.encode(np.clip(shown, 0, 1)) * 255).astype(np.uint8)

    picture = SRGB.linear(render(scene, like=camera(scene), look="filmic"))[30]
    shorter = SRGB.linear(camera(scene / 8)[30] / np.float32(255))
    at = int(np.argmin(np.abs(light[30, :, 0] - 2)))
    assert camera(scene)[30, at, 0] == 255  # saturated, and in the picture darker than that
    assert luminance(picture)[at] < 0.7
    same = int(np.argmin(np.abs(luminance(shorter) - luminance(picture)[at])))
    np.testing.assert_allclose(picture[at] / picture[at, 0], shorter[same] / shorter[same, 0], atol=0.04)


def test_grey_stays_grey_beside_coloured_things() -> None:
    # Each brightness has things of another colour, whose light the camera mixes between the channels (its
    # matrix), and as many grey ones: the channels' own curves would part, those of grey do not.
    rng = np.random.default_rng(7)
    light = np.exp2(rng.uniform(-8, -1, (200, 300, 1)))
    stops = np.floor(np.log2(light) * 2).astype(int) % 3
    colour = np.where(rng.random((200, 300, 1)) < 0.5, np.eye(3)[stops[..., 0]] * 0.5 + 0.6, 1.0)
    scene = (light * colour).astype(np.float32)
    mixed = np.maximum(scene @ (np.eye(3) * 1.6 - 0.2).T, 0)
    photo = np.round(SRGB.encode(np.clip(mixed**1.2, 0, 1).astype(np.float32)) * 255).astype(np.uint8)
    mood = mood_of(scene, photo / np.float32(255))
    grey = np.linspace(-8, -1, 60, dtype=np.float32)[:, None].repeat(3, axis=1)
    assert np.ptp(mood(grey), axis=1).max() < 0.1
