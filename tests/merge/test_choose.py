"""Which three frames the network gets of any number, and what it gets where one is missing."""

from __future__ import annotations

import numpy as np
import pytest

from apnt.bracket import Bracket
from apnt.errors import InputError
from apnt.merge.three_frames import MADE, choose, network_scale, three_frames
from apnt.prepare.reference import choose_reference, longest_shows_more


def light(size: tuple[int, int] = (32, 48)) -> np.ndarray:
    """Radiance over ten stops, 1 at the brightest."""
    ramp = 2.0 ** np.linspace(-10, 0, size[0] * size[1] * 3)
    return ramp.reshape(*size, 3)[::-1].astype(np.float32)


def bracket(stops: list[float], reference: int = -1, valid: np.ndarray | None = None) -> Bracket:
    times = 2.0 ** (np.array(stops) - stops[0])
    ldr = np.clip(light() * times[:, None, None, None], 0, 1) ** (1 / 2.2)
    return Bracket("ramp", ldr.astype(np.float32), times, reference=reference, valid=valid)


@pytest.mark.parametrize(
    ("stops", "reference", "taken"),
    [
        ([0, 2, 4], 1, (0, 1, 2)),
        ([0, 3, 6], 1, (0, 1, 2)),
        ([0, 4, 8], 1, (0, 1, 2)),
        ([0, 2, 4, 6, 8, 10, 12], 3, (2, 3, 4)),
        ([0, 1, 2, 3, 4, 5, 6], 3, (1, 3, 5)),
        ([0, 1, 2, 3, 4], 0, (0, 2)),
        ([0, 1, 2, 3, 4], 4, (2, 4)),
    ],
)
def test_neighbours_at_the_spacing_of_the_training(stops, reference, taken) -> None:
    assert choose(bracket(stops, reference)).taken == taken


def test_what_is_not_taken_supports_nearest_first() -> None:
    choice = choose(bracket([0, 2, 4, 6, 8, 10, 12], 3))
    assert choice.support == (1, 5, 0, 6)
    assert choice.stops == (2, 2)
    assert not choice.wide
    assert choose(bracket([0, 4, 8], 1)).wide


def test_the_reference_of_three_is_the_middle_and_otherwise_the_best_exposed() -> None:
    for stops in ([0, 2, 4], [0, 1, 9]):
        b = bracket(stops)
        assert choose_reference(b.ldr, b.times) == 1
    five = bracket([0, 2, 4, 6, 8])
    black, white = np.zeros_like(five.ldr[0]), np.ones_like(five.ldr[0])
    good = np.full_like(black, 0.5)
    ldr = np.stack([black, good, white, white, white])
    assert choose_reference(ldr, five.times) == 1
    assert choose_reference(ldr[::-1], five.times) == 3
    # Equally good ones: the nearest to the middle.
    assert choose_reference(np.stack([good] * 5), five.times) == 2


def test_invalid_pixels_are_not_well_exposed() -> None:
    b = bracket([0, 2, 4, 6, 8])
    good = np.full_like(b.ldr, 0.5)
    valid = np.ones(b.ldr.shape[:3], bool)
    valid[2] = False
    assert choose_reference(good, b.times, valid) in (1, 3)


def test_three_frames_as_they_are_stay_the_same_object() -> None:
    b = bracket([0, 2, 4])
    assert three_frames(b, choose(b)) is b
    assert network_scale(b, choose(b)) == 1


def test_a_part_of_a_bracket_keeps_its_scale() -> None:
    b = bracket([0, 2, 4, 6, 8, 10, 12], 3)
    choice = choose(b)
    three = three_frames(b, choice)
    np.testing.assert_array_equal(three.times, [1, 4, 16])
    np.testing.assert_array_equal(three.ldr, b.ldr[2:5])
    np.testing.assert_allclose(three.radiance * network_scale(b, choice), b.radiance[2:5], rtol=1e-5)


@pytest.mark.parametrize(("reference", "made"), [(0, 0), (1, 2)])
def test_a_missing_frame_is_the_references_own_light(reference: int, made: int) -> None:
    b = bracket([0, 2], reference)
    choice = choose(b)
    three = three_frames(b, choice)
    np.testing.assert_allclose(three.times, [1, 2**MADE, 4**MADE])
    got = three.radiance[made] * network_scale(b, choice)
    own = b.radiance[reference]
    clear = three.ldr[made] < 1
    assert clear.any()
    np.testing.assert_allclose(got[clear], own[clear], rtol=1e-4)
    assert three.ldr.max() <= 1


def test_holes_show_what_the_others_predict() -> None:
    valid = np.ones((3, 32, 48), bool)
    valid[0, :8], valid[1, 8:16], valid[2, 16:24] = False, False, False
    b = bracket([0, 2, 4], 1, valid)
    b.ldr[~valid] = 0
    three, whole = three_frames(b, choose(b)), bracket([0, 2, 4])
    for k in range(3):
        known = whole.ldr[0] < 0.24  # what no frame clips
        np.testing.assert_allclose(three.ldr[k][known], whole.ldr[k][known], atol=1e-5)


def test_valid_is_checked() -> None:
    with pytest.raises(InputError, match=r"valid must be bool of shape \(2, 32, 48\), got float64"):
        bracket([0, 2], valid=np.ones((2, 32, 48)))
    with pytest.raises(InputError, match=r"of shape \(2, 32, 47\)"):
        bracket([0, 2], valid=np.ones((2, 32, 47), bool))


@pytest.mark.parametrize("level", [0.015, 0.2])
def test_of_three_frames_the_middle_one_is_the_reference_however_dark(level: float) -> None:
    times = np.array([1.0, 4.0, 16.0])
    shown = np.stack([light() / light().max() * level * time / 4 for time in times])
    assert choose_reference(np.clip(shown, 0, 1) ** np.float32(1 / 2.2), times) == 1


@pytest.mark.parametrize(
    ("level", "more"),
    [
        (0.015, True),
        (
            0.17,
            True,
        ),  # its brightest lies 2.6 stops below white, and the long one's are not burnt out
        (0.2, False),
        (0.3, False),
    ],
)
def test_a_longest_frame_that_shows_more_is_said(level: float, more: bool) -> None:
    times = np.array([1.0, 4.0, 16.0])
    shown = np.clip(np.stack([light() / light().max() * level * time / 4 for time in times]), 0, 1)
    assert longest_shows_more(shown ** np.float32(1 / 2.2)) is more


def test_a_long_frame_that_is_burnt_out_in_places_does_not_show_more() -> None:
    shown = np.stack([np.full((40, 60, 3), 0.015 * 4**k, np.float32) for k in range(3)])
    shown[2, :6, :8] = 1
    assert not longest_shows_more(shown ** np.float32(1 / 2.2))
    valid = np.ones((3, 40, 60), bool)
    valid[2, :6, :8] = False  # a hole where it would be burnt out
    assert longest_shows_more(shown ** np.float32(1 / 2.2), valid)
