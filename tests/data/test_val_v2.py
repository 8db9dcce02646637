"""val-v2 is frozen: these numbers are the set."""

from __future__ import annotations

import functools
import os
from pathlib import Path

import numpy as np
import pytest

from apnt.bracket import Bracket
from apnt.camera import GAMMA
from apnt.data.val_v1 import find_folder
from apnt.data.val_v2 import CONDITIONS, LARGE, SCENES, Written, prepared, val_v2, write
from apnt.errors import InputError
from apnt.evaluate.loop import evaluate_brackets
from apnt.evaluate.tables import condition_rows
from apnt.methods import Options, load_method
from apnt.metrics import psnr_mu

# Mean value of each frame in steps of 8 bits, mean of the truth in a thousandth, share of moving pixels.
FROZEN: dict[tuple[str, int], tuple[float, float, float, float, float]] = {
    ("objects", 0): (65.7925, 117.775, 177.812, 94.4845, 0.126602),
    ("objects", 1): (97.3767, 174.733, 236.655, 169.631, 0.128586),
    ("static", 1): (97.5801, 174.733, 236.794, 169.631, 0),
    ("half_pixel", 0): (66.171, 117.775, 177.093, 94.4845, 0.126602),
    ("together_s_curve", 1): (66.9576, 188.632, 248.15, 94.4897, 0.130844),
    ("disocclusion", 0): (77.1595, 132.678, 187.777, 124.906, 0.472412),
    ("burnt_60", 1): (115.429, 201.573, 242.036, 235.818, 0.128586),
    ("noise_x4", 0): (65.0912, 117.486, 177.694, 94.4845, 0.126602),
    ("bits_12", 0): (65.7925, 117.7751, 177.8124, 94.4845, 0.126602),
    ("bits_16", 0): (65.7933, 117.7749, 177.8128, 94.4845, 0.126602),
}


def folder() -> Path:
    named = Path(os.environ.get("APNT_DATA", Path(__file__).parents[3] / "shared" / "data"))
    if not (named / "hdr" / "val").is_dir():
        pytest.skip(f"the radiance maps of val-v1 are not in {named}")
    return find_folder(named)


@functools.cache
def written(condition: str, scene: int = 0) -> Written:
    """What :func:`write` makes, once for all tests, which only look at it."""
    return write(folder(), CONDITIONS[condition], SCENES[scene])


def figures(made: Written, bits: int) -> tuple[float, ...]:
    return (
        *(float(frame.mean()) * 255 / (2**bits - 1) for frame in made.frames),
        float(1000 * made.truth.mean()),
        float(made.moving.mean()),
    )


@pytest.mark.parametrize(("condition", "scene"), FROZEN)
def test_the_set_is_what_it_was(condition: str, scene: int) -> None:
    bits = CONDITIONS[condition].bits
    made = written(condition, scene)
    assert made.frames.dtype == (np.uint8 if bits == 8 else np.uint16)
    assert made.frames.shape == (3, 384, 512, 3)
    assert figures(made, bits) == pytest.approx(FROZEN[condition, scene], rel=2e-5)


@pytest.mark.parametrize("bits", [12, 16])
def test_more_bits_are_read_as_such(bits: int) -> None:
    fine, base = (prepared(written(name), name, SCENES[0]) for name in (f"bits_{bits}", "objects"))
    assert 0 < np.abs(fine.ldr - base.ldr).max() < 0.6 / 255  # half a step of 8 bits, and the depth's own


def test_conditions_differ_from_the_base_in_what_they_say_alone() -> None:
    base = written("objects")
    for name in ("half_pixel", "jpeg_85", "s_curve", "noise_x4", "object_80", "drift"):
        other = written(name)
        assert np.array_equal(other.truth, base.truth), name
        assert np.abs(other.frames[0].astype(int) - base.frames[0]).max() > 2, name
    closer = written("stops_0_1_2")
    # The same light in units of another exposure, but for what is clipped beyond it.
    assert np.quantile(np.abs(2 * base.truth - closer.truth), 0.8) < 1e-5
    static = written("static")
    assert not static.moving.any()
    assert base.moving.any()


def test_prepared_truth_is_the_light_of_the_reference_frame() -> None:
    made = prepared(written("objects"), "objects", SCENES[0])
    assert made.name == "objects/chinese_garden"
    assert made.reference == 1
    frame = made.ldr[1]
    usable = (frame > 0.4) & (frame < 0.9)
    ratio = (frame**GAMMA / np.float32(made.times[1]))[usable] / made.truth[usable]
    assert np.median(ratio) == pytest.approx(1, abs=0.02)


def test_conditions_are_named() -> None:
    assert not set(CONDITIONS) & set(LARGE)
    with pytest.raises(InputError, match=r"conditions must be of static, .*, got hail"):
        val_v2(None, ["objects", "hail"])
    _, count = val_v2(folder(), ["objects", "objects", "motion_2_percent_3mp"])
    assert count == len(SCENES) + 1


def test_a_table_by_condition_has_the_means_of_its_scenes() -> None:
    rng = np.random.default_rng(0)
    names = ("rain/a", "snow/a", "rain/b")
    made = [
        Bracket(name, rng.random((3, 16, 16, 3), np.float32), np.array([1.0, 4, 16]), truth)
        for name, truth in zip(names, rng.random((3, 16, 16, 3), np.float32), strict=True)
    ]
    method = load_method("medium", Options())
    table = evaluate_brackets({"medium": method.fuse}, made)
    heading, rain, snow = condition_rows(table, {"medium": method})
    assert [row[0] for row in (heading, rain, snow)] == ["condition", "rain", "snow"]
    scores = [psnr_mu(method.fuse(each), each.truth) for each in made]
    assert rain[1].startswith(f"{(scores[0] + scores[2]) / 2:.2f} / ")
    assert snow[1].startswith(f"{scores[1]:.2f} / ")
