"""Exposures as users write them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from apnt.errors import InputError
from apnt.io import parse_stops, parse_times, relative_times


def test_parse() -> None:
    assert parse_times("1/400, 1/100,0.04") == [1 / 400, 1 / 100, 0.04]
    assert parse_stops("-2,0,+2.5") == [-2.0, 0.0, 2.5]


@pytest.mark.parametrize("text", ["", "a,b,c", "1/0,1,2", "1/400 1/100 1/25", "1,,2", "1/2/3,1,2", "1/-,1,2"])
def test_parse_errors(text: str) -> None:
    with pytest.raises(InputError, match="times must be numbers such as 1/400,1/100,1/25, got"):
        parse_times(text)


@pytest.mark.parametrize("text", ["", "0;2;4", "x,2,4"])
def test_parse_stops_errors(text: str) -> None:
    with pytest.raises(InputError, match="stops must be numbers such as 0,2,4, got"):
        parse_stops(text)


def test_relative_to_the_shortest_in_the_order_given() -> None:
    np.testing.assert_allclose(relative_times(times=[1 / 25, 1 / 400, 1 / 100]), [16, 1, 4])
    np.testing.assert_allclose(relative_times(stops=[2, -2, 0]), [16, 1, 4])
    np.testing.assert_allclose(relative_times(stops=np.array([1000, 1002, 1004])), [1, 4, 16])


def test_widest_range() -> None:
    np.testing.assert_allclose(relative_times(times=[1, 64, 4096]), [1, 64, 4096])
    np.testing.assert_allclose(relative_times(stops=[0, 6, 12]), [1, 64, 4096])
    np.testing.assert_allclose(relative_times(stops=[0, 6, 12, 20]), [1, 64, 4096, 2**20])


def test_two_to_fifteen_frames() -> None:
    np.testing.assert_allclose(relative_times(stops=[1, 0]), [2, 1])
    np.testing.assert_allclose(relative_times(stops=[0, 1 / 6]), [1, 2 ** (1 / 6)])
    np.testing.assert_allclose(relative_times(stops=range(15)), 2.0 ** np.arange(15))


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ([1], "times must be 2 to 15 numbers in seconds, one a frame, got 1: 1"),
        (list(range(1, 17)), "got 16: 1, 2, 3"),
        ([[1, 2, 4]], r"got shape \(1, 3\)"),
        (3, r"got shape \(\)"),
        (["a", "b", "c"], "must be 2 to 15 numbers in seconds, one a frame, got"),
        ([1, 2, None], "times must be finite, got 1, 2, nan"),
        ([1, 2, math.nan], "times must be finite, got 1, 2, nan"),
        ([1, 2, math.inf], "times must be finite, got 1, 2, inf"),
        ([0, 2, 4], "times must be positive, got 0, 2, 4; for values in stops use stops"),
        ([-1, 2, 4], "times must be positive, got -1, 2, 4"),
        ([1, 4, 4], "times must be different exposures, .* and two are 0 stops apart: 1, 4, 4"),
        ([4, 1, 4 * (1 + 1e-9)], "must be different exposures"),
        ([1, 64, 4097], r"at most 12 stops \(a ratio of 4096\), got 12 stops: 1, 64, 4097"),
        ([1e-300, 1, 1e300], "at most 12 stops"),
        ([1, 2, 4, 2**20.1], r"at most 20 stops \(a ratio of 1048576\)"),
        ([1 / 100, 1 / 101, 1 / 102], "0.17 stops between neighbours, and two are 0.014 stops apart"),
    ],
)
def test_bad_times(times: list[float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        relative_times(times=times)


@pytest.mark.parametrize(
    ("stops", "message"),
    [
        ([0], "stops must be 2 to 15 numbers in stops, one a frame, got 1"),
        ([0, 2, math.nan], "stops must be finite"),
        ([0, 2, 2], "stops must be different exposures.*: 0, 2, 2$"),
        ([1 / 400, 1 / 100, 1 / 25], "are these seconds\\? Then use times"),
        ([0, 1 / 3, 1 / 2 - 0.01], "two are 0.16 stops apart"),
        ([0, 2, 12.5], "stops must span at most 12 stops .* got 12.5 stops"),
    ],
)
def test_bad_stops(stops: list[float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        relative_times(stops=stops)


def test_times_or_stops_not_both() -> None:
    with pytest.raises(InputError, match="one of them, got both"):
        relative_times(times=[1, 2, 4], stops=[0, 1, 2])
    with pytest.raises(InputError, match="one of them, got neither"):
        relative_times()
