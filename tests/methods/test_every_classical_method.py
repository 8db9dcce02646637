"""What holds for every classical method, whatever it computes."""

from __future__ import annotations

import numpy as np
import pytest

from apnt.bracket import Bracket
from apnt.errors import InputError
from apnt.methods import DEFAULT, METHODS, load_method, ma17
from apnt.methods.multiscale_patches import without_motion

NAMES = ("mertens", "gu12", "shen14", "ma17", "li20", "li21")


def fused(name: str, stack: np.ndarray) -> np.ndarray:
    bracket = Bracket("made", stack.astype(np.float32), 4.0 ** np.arange(len(stack)))
    result = load_method(name).fuse(bracket)
    assert result.dtype == np.float32
    assert result.shape == stack.shape[1:]
    assert np.isfinite(result).all()
    assert result.min() >= 0
    assert result.max() <= 1
    return result


def test_they_are_registered_as_pictures_and_not_compared_unasked():
    assert {METHODS[name].kind for name in NAMES} == {"display"}
    assert DEFAULT == ("medium", "weighted", "align-debevec", "apnt")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [0.02, 0.25, 0.5, 0.8])
def test_a_constant_stack_returns_itself(name, value):
    stack = np.full((3, 40, 52, 3), value, np.float32)
    assert np.abs(fused(name, stack) - np.float32(value)).max() < 1e-6


@pytest.mark.parametrize("name", [name for name in NAMES if name != "li21"])
@pytest.mark.parametrize("value", [0.02, 0.25, 0.5, 0.8])
def test_a_constant_colour_returns_itself(name, value):
    # Li21 softens the structure that hue is: see test_li21.py. The 0.001 that Ma17 adds to a strength
    # scales the colour's deviation from its mean, of norm c, by 1 + 0.001 / c.
    colour = np.array([value, 0.9 * value, 1.1 * value], np.float32)
    stack = np.broadcast_to(colour, (3, 40, 52, 3))
    assert np.abs(fused(name, stack) - colour).max() < (4e-5 if name == "ma17" else 1e-6)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("count", [2, 3, 4, 7, 15])
def test_any_number_of_frames(name, count, smooth):
    fused(name, smooth(count, 48, 40))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(16, 16), (17, 16), (16, 31), (21, 20), (33, 65), (64, 16)])
def test_odd_and_tiny_sizes(name, size, smooth):
    fused(name, smooth(3, *size))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_black_or_saturated_everywhere(name, value):
    assert np.abs(fused(name, np.full((3, 32, 40, 3), value)) - value).max() < 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_grey_stays_grey(name, smooth):
    grey = smooth(3).mean(axis=-1, keepdims=True).repeat(3, axis=-1)
    result = fused(name, grey)
    assert np.ptp(result, axis=-1).max() < 1e-5


@pytest.mark.parametrize("name", NAMES)
def test_the_same_stack_gives_the_same_picture(name, smooth):
    assert (fused(name, smooth()) == fused(name, smooth())).all()


@pytest.mark.parametrize("name", NAMES)
def test_the_input_is_left_alone(name, smooth):
    stack = smooth().astype(np.float32)
    before = stack.copy()
    load_method(name).fuse(Bracket("made", stack, np.array([1.0, 4, 16])))
    assert (stack == before).all()


@pytest.mark.parametrize("function", [ma17.fuse, without_motion])
@pytest.mark.parametrize("reference", [-1, 3])
def test_a_reference_that_is_no_frame_is_refused(function, reference):
    with pytest.raises(InputError, match=f"reference must be a frame from 0 to 2, got {reference}"):
        function(np.zeros((3, 8, 8, 3)), reference)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("stack", "message"),
    [
        (np.full((3, 8, 8, 3), 1.5), r"frames must be in \[0, 1\], got values from 1.5 to 1.5"),
        (np.full((3, 8, 8, 3), np.nan), r"frames must be in \[0, 1\], got values from nan to nan"),
        (np.zeros((1, 8, 8, 3)), r"frames must have shape \(N, H, W, 3\) with at least 2 frames"),
    ],
)
def test_bad_stacks_are_refused(name, stack, message):
    bracket = Bracket("made", stack.astype(np.float32), 4.0 ** np.arange(len(stack)))
    with pytest.raises(InputError, match=message):
        load_method(name).fuse(bracket)
