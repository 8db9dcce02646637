"""Alignment against known motion: found within a fraction of a pixel, left alone, or refused."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from apnt.bracket import Bracket
from apnt.errors import InputError
from apnt.prepare.aligned import aligned
from apnt.prepare.alignment.align import align, warp
from apnt.prepare.alignment.keypoints import nearest_two
from apnt.prepare.alignment.motion import Shifts, corners, fit, move, normalized, rescaled
from apnt.prepare.report import Report

SIZE = (240, 360)


def texture(seed: int, size: tuple[int, int]) -> np.ndarray:
    """Light over four stops with detail of every size: (H, W, 3) float32."""
    rng = np.random.default_rng(seed)
    total = np.zeros((*size, 3), np.float32)
    for octave in range(2, 8):
        coarse = rng.standard_normal((size[0] // 2**octave + 2, size[1] // 2**octave + 2, 3)).astype(
            np.float32
        )
        total += 1.3**octave * cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC)
    return np.exp2(1.2 * (total - total.mean()) / total.std()).astype(np.float32)


def camera(turn: float, shift: tuple[float, float], bend: tuple[float, float]) -> np.ndarray:
    """Reference pixels to a frame's: degrees about the centre, pixels, and perspective in 1 / 1000 pixels."""
    cos, sin = np.cos(np.deg2rad(turn)), np.sin(np.deg2rad(turn))
    centre = np.array([[1, 0, (SIZE[1] - 1) / 2], [0, 1, (SIZE[0] - 1) / 2], [0, 0, 1.0]])
    inner = np.array([[cos, -sin, shift[0]], [sin, cos, shift[1]], [bend[0] * 1e-3, bend[1] * 1e-3, 1.0]])
    return normalized(centre @ inner @ np.linalg.inv(centre))


def bracket(motions, stops, seed=0, curve=0.0, quality=0, background=None, objects=()):
    """Frames of one scene, rendered at twice the size: (N, H, W, 3) display-referred, and their times."""
    margin = 60
    size = (2 * (SIZE[0] + 2 * margin), 2 * (SIZE[1] + 2 * margin))
    scene = texture(seed, size) if background is None else np.full((*size, 3), background, np.float32)
    into = np.array([[2, 0, 2 * margin + 0.5], [0, 2, 2 * margin + 0.5], [0, 0, 1.0]])
    fine = np.array([[0.5, 0, -0.25], [0, 0.5, -0.25], [0, 0, 1.0]])
    rng = np.random.default_rng(seed + 100)
    frames = []
    for k, (motion, stop) in enumerate(zip(motions, stops, strict=True)):
        view = into @ np.linalg.inv(motion) @ fine
        light = cv2.warpPerspective(
            scene, view, (2 * SIZE[1], 2 * SIZE[0]), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        )
        light = np.maximum(cv2.resize(light, SIZE[::-1], interpolation=cv2.INTER_AREA), 0)
        for patch, start, step in objects:
            x, y = np.round(np.array(start) + k * np.array(step)).astype(int)
            light[y : y + len(patch), x : x + patch.shape[1]] = patch
        signal = light * 2.0**stop / 6 / 2.0 ** stops[len(stops) // 2]
        signal = np.clip(signal + 0.004 * np.sqrt(signal + 0.01) * rng.standard_normal(signal.shape), 0, 1)
        shown = signal ** (1 / 2.2)
        if curve:
            low, high = np.tanh(curve * -0.45), np.tanh(curve * 0.55)
            shown = (np.tanh(curve * (shown - 0.45)) - low) / (high - low)
        coded = np.round(shown * 255).astype(np.uint8)
        if quality:
            coded = cv2.imdecode(cv2.imencode(".jpg", coded, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], 1)
        frames.append(coded.astype(np.float32) / 255)
    return np.stack(frames), 2.0 ** np.array(stops)


def error(homography: np.ndarray, truth: np.ndarray) -> float:
    """Largest distance in pixels over the corners."""
    ends = corners(SIZE)
    return float(np.hypot(*(move(homography, ends) - move(truth, ends)).T).max())


STILL = np.eye(3)
MOVED = [camera(2.0, (20.0, -12.3), (0.05, 0.0)), STILL, camera(-1.3, (-24.7, 14.2), (0.0, -0.06))]


@pytest.mark.parametrize(
    ("stops", "curve", "quality"),
    [((0, 2, 4), 0, 0), ((0, 3, 6), 0, 0), ((0, 2, 4), 4, 0), ((0, 3, 6), 3, 85), ((0, 2, 4), 0, 85)],
)
def test_rotation_shift_and_perspective_are_found(stops, curve, quality):
    found = align(*bracket(MOVED, stops, curve=curve, quality=quality), 1)
    assert [frame.status for frame in found.frames] == ["aligned", "reference", "aligned"]
    for frame, truth in zip(found.frames, MOVED, strict=True):
        assert error(frame.homography, truth) < 0.3
        assert frame.uncertainty < 0.3
        assert frame.residual < 0.5


def test_a_shift_needs_no_key_points(monkeypatch):
    monkeypatch.setattr("apnt.prepare.alignment.pairs.find_keypoints", None)
    motions = [camera(0, (-31, 17), (0, 0)), np.eye(3), camera(1, (24, 9), (0, 0))]
    found = align(*bracket(motions, (0, 2, 4)), 1)
    assert [frame.status for frame in found.frames] == ["aligned", "reference", "aligned"]
    for frame, truth in zip(found.frames, motions, strict=True):
        assert error(frame.homography, truth) < 0.3


@pytest.mark.parametrize("reference", [0, 2])
def test_any_frame_can_be_the_reference(reference):
    found = align(*bracket(MOVED, (0, 2, 4)), reference)
    back = np.linalg.inv(MOVED[reference])
    for frame, motion in zip(found.frames, MOVED, strict=True):
        assert error(frame.homography, normalized(motion @ back)) < 0.5


def test_frames_may_come_in_any_order_of_exposure():
    ldr, times = bracket(MOVED, (0, 2, 4))
    order = [2, 0, 1]
    found = align(ldr[order], times[order], 2)
    for frame, k in zip(found.frames, order, strict=True):
        assert error(frame.homography, MOVED[k]) < 0.3


def test_what_only_a_neighbour_shares_is_found_through_it():
    # What is not black in the first frame is white in the last.
    motions = [camera(0, (9.0 * k, 4.0 * k), (0, 0)) for k in range(5)]
    found = align(*bracket(motions, (0, 2.5, 5, 7.5, 10)), 0)
    assert found.frames[4].through in (2, 3)
    for frame, truth in zip(found.frames, motions, strict=True):
        assert frame.status == "reference" or frame.status == "aligned"
        assert error(frame.homography, truth) < 1.0


@pytest.mark.parametrize("stops", [(0, 2, 4), (0, 4, 8), (0, 2 / 3, 4 / 3)])
@pytest.mark.parametrize("quality", [0, 85])
def test_a_tripod_bracket_stays_exactly_as_it_is(stops, quality):
    found = align(*bracket([STILL] * 3, stops, quality=quality), 1)
    assert [frame.status for frame in found.frames] == ["still", "reference", "still"]
    assert all(np.array_equal(frame.homography, np.eye(3)) for frame in found.frames)


def crowd(count: int, seed: int) -> list:
    """Textured squares that move each in its own direction."""
    rng = np.random.default_rng(seed)
    people = []
    for k in range(count):
        side = int(rng.integers(36, 64))
        patch = texture(1000 + k, (side, side)) * 0.7
        start = rng.uniform((50, 50), (SIZE[1] - side - 50, SIZE[0] - side - 50))
        angle = rng.uniform(0, 2 * np.pi)
        people.append((patch, start, rng.uniform(8, 24) * np.array([np.cos(angle), np.sin(angle)])))
    return people


@pytest.mark.parametrize("seed", range(3))
def test_a_crowd_without_a_static_background_is_refused(seed):
    found = align(*bracket([STILL] * 3, (0, 2, 4), background=0.8, objects=crowd(16, seed)), 1)
    for k in (0, 2):
        assert found.frames[k].status == "refused"
        assert re.search(r"moves? as one|different motions", found.frames[k].why)
        assert np.array_equal(found.frames[k].homography, np.eye(3))


@pytest.mark.parametrize("seed", range(3))
def test_a_crowd_does_not_move_the_background(seed):
    found = align(*bracket(MOVED, (0, 2, 4), objects=crowd(12, seed)), 1)
    for k in (0, 2):
        assert found.frames[k].status == "aligned"
        assert error(found.frames[k].homography, MOVED[k]) < 0.3


def test_two_things_on_a_burnt_out_ground_are_not_the_camera():
    # They are three quarters of the structure, but lie in one part of the picture; the rest stays.
    objects = [
        (0.3 * texture(1, (90, 90)), (100, 70), (9, 4)),
        (0.3 * texture(2, (90, 90)), (190, 70), (9, 4)),
        (0.3 * texture(3, (72, 90)), (5, 160), (0, 0)),
    ]
    found = align(*bracket([STILL] * 3, (0, 2, 4), background=20.0, objects=objects), 1)
    assert [frame.status for frame in found.frames] == ["refused", "reference", "refused"]


def test_clouds_that_drift_do_not_bend_the_picture():
    sky = [(texture(7, (100, SIZE[1] - 80)), (40, 0), (9, 0))]
    truth = [camera(0, (12.0, 5.0), (0, 0)), STILL, camera(0, (-7.0, 3.0), (0, 0))]
    found = align(*bracket(truth, (0, 2, 4), objects=sky), 1)
    for k in (0, 2):
        assert found.frames[k].status == "aligned"
        assert error(found.frames[k].homography, truth[k]) < 0.3


def test_frames_without_any_structure_are_refused():
    found = align(np.full((2, *SIZE, 3), 0.5, np.float32), np.array([1.0, 4.0]), 1)
    assert found.frames[0].status == "refused"
    assert "no structure" in found.frames[0].why


def test_a_frame_that_was_not_aligned_says_what_follows():
    frames, report = np.full((2, *SIZE, 3), 0.5, np.float32), Report("stops", [0.0, 2.0])
    aligned(Bracket("b", frames, np.array([1.0, 4.0]), reference=1), ["a.jpg", "b.jpg"], report)
    (said,) = report.warnings
    assert said.startswith("a.jpg was not aligned: the frames share no structure")
    end = "it is used where it lies, and what differs counts as motion, which the network searches for or"
    assert f"; {end} leaves out." in said
    assert report.alignment[0]["status"] == "refused"
    assert np.array_equal(frames, np.full((2, *SIZE, 3), 0.5, np.float32))


def test_a_response_is_used():
    ldr, times = bracket(MOVED, (0, 3, 6), curve=4)
    low, high = np.tanh(4 * -0.45), np.tanh(4 * 0.55)
    values = np.linspace(0, 1, 256)
    table = np.maximum(np.arctanh(values * (high - low) + low) / 4 + 0.45, 0) ** 2.2
    expected = align(ldr, times, 1, response=table)
    same = align(ldr, times, 1, response=lambda frame: np.interp(frame, values, table))
    for k in (0, 2):
        assert error(expected.frames[k].homography, MOVED[k]) < 0.2
        assert error(same.frames[k].homography, expected.frames[k].homography) < 1e-3


def test_pixels_without_data_do_not_count():
    ldr, times = bracket(MOVED, (0, 2, 4))
    valid = np.ones(ldr.shape[:3], bool)
    pattern = texture(5, (120, SIZE[1]))
    for k in (0, 2):  # something that stands still covers half of every frame
        ldr[k, :120] = np.clip(pattern * 0.1, 0, 0.9)
    ldr[1, :120] = np.clip(pattern * 0.1, 0, 0.9)
    valid[:, :120] = False
    found = align(ldr, times, 1, valid=valid)
    for k in (0, 2):
        assert error(found.frames[k].homography, MOVED[k]) < 0.5
        assert found.frames[k].support < 0.6


def test_warp_brings_a_frame_back_and_says_where():
    ldr, _ = bracket([STILL, MOVED[0]], (0, 0))
    moved, inside = warp(ldr[1], MOVED[0])
    assert 0.6 < inside.mean() < 0.95
    assert np.sqrt(np.mean((moved - ldr[0])[inside] ** 2)) < 0.02
    ends = move(MOVED[0], np.argwhere(inside)[:, ::-1].astype(float))
    assert ends.min() > -0.1
    assert (ends.max(axis=0) < np.array(SIZE[::-1]) - 0.9).all()
    assert 0 <= moved.min() <= moved.max() <= 1


def test_warp_by_the_identity_changes_nothing():
    frame = texture(3, SIZE)[..., :3] / 50
    moved, inside = warp(frame, np.eye(3))
    assert moved is frame
    assert inside.all()


def test_warp_keeps_pixels_without_data_out():
    valid = np.ones(SIZE, bool)
    valid[100:110, 100:110] = False
    _, inside = warp(np.zeros((*SIZE, 3), np.float32), camera(0, (10, 0), (0, 0)), valid)
    assert not inside[100:110, 90:100].any()
    assert inside[100:110, 101:200].all()
    assert not inside[:, -10:].any()


def test_motion_of_a_reduced_picture_is_that_of_the_full_one():
    motion = camera(1.5, (7, -3), (0.04, 0.02))
    large = rescaled(motion, (3.0, 2.0))
    here = np.array([[10.0, 20.0], [300.0, 200.0]])
    scale = np.array([3.0, 2.0])
    there = move(large, (here + 0.5) * scale - 0.5)
    assert np.allclose(there, (move(motion, here) + 0.5) * scale - 0.5)


def test_the_two_nearest_descriptors_are_those_of_all_differences():
    rng = np.random.default_rng(0)
    others = rng.uniform(0, 0.2, (60, 128)).astype(np.float32)
    # So near that lengths and products tell their distance badly.
    these = others[:40] + rng.normal(0, 1e-4, (40, 128)).astype(np.float32)
    nearest, distance = nearest_two(these, others)
    apart = np.linalg.norm(these[:, None] - others[None], axis=-1)
    assert np.array_equal(nearest, np.argsort(apart, axis=1)[:, :2].T)
    assert np.allclose(distance, np.sort(apart, axis=1)[:, :2].T, rtol=1e-5)


@pytest.mark.parametrize("model", ["translation", "similarity", "affine", "homography"])
def test_a_fit_ignores_four_of_ten_shifts(model):
    rng = np.random.default_rng(3)
    points = rng.uniform((0, 0), SIZE[::-1], (200, 2))
    truth = camera(0, (0.7, -0.4), (0, 0)) if model == "translation" else camera(0.2, (0.7, -0.4), (0, 0))
    shifts = move(truth, points) - points + rng.normal(0, 0.02, points.shape)
    shifts[:80] += rng.uniform(-6, 6, (80, 2))
    found, weights = fit(model, Shifts(points, shifts, np.tile(np.eye(2) * 2500, (200, 1, 1))), SIZE)
    assert error(found, truth) < 0.08
    assert weights[:80].mean() < 0.1 < 0.7 < weights[80:].mean()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ldr": np.zeros((2, 64, 64), np.float32)}, "ldr must be float32"),
        ({"ldr": np.zeros((2, 64, 64, 3))}, "ldr must be float32"),
        ({"ldr": np.zeros((2, 8, 64, 3), np.float32)}, "at least 32 pixels"),
        ({"times": np.ones(3)}, "times must"),
        ({"times": np.array([0.0, 1.0])}, "times must"),
        ({"reference": 2}, "reference must"),
        ({"valid": np.ones((2, 64, 60), bool)}, "valid must"),
        ({"response": np.zeros((4, 4, 4))}, "response must"),
        ({"response": np.zeros((256, 2))}, "response must"),
    ],
)
def test_bad_input_is_named(change, message):
    given = {"ldr": np.zeros((2, 64, 64, 3), np.float32), "times": np.array([1.0, 4.0]), "reference": 1}
    with pytest.raises(InputError, match=message):
        align(**{**given, **change})


def real(name: str) -> tuple[np.ndarray, np.ndarray]:
    """(N, H, W, 3) frames and times of a real bracket; skips where it is missing."""
    data = Path(os.environ.get("APNT_DATA", Path(__file__).parents[3] / "shared" / "data"))
    folder = data / "brackets" / name
    if not (folder / "bracket.json").is_file():
        pytest.skip(f"the bracket {name} is not in {data}")
    about = json.loads((folder / "bracket.json").read_text())
    frames = [Image.open(folder / file).convert("RGB") for file in about["files_short_to_long"]]
    return np.stack([np.asarray(f, dtype=np.float32) / 255 for f in frames]), np.array(about["times"])


def test_the_villa_stays():
    found = align(*real("villa"), 1)
    assert [frame.status for frame in found.frames] == ["still", "reference", "still"]


def test_the_villa_rolled_by_120_pixels_is_found():
    ldr, times = real("villa")
    ldr[0] = np.roll(ldr[0], 120, axis=1)
    found = align(ldr, times, 1)
    assert found.frames[0].status == "aligned"
    ends = corners(ldr.shape[1:3])
    assert np.abs(move(found.frames[0].homography, ends) - ends - [120, 0]).max() < 0.3
    assert found.frames[2].status == "still"
