"""The HTML report: one file, all methods, the right places; and the pictures in it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from apnt.bracket import Bracket
from apnt.data.synthetic import SyntheticBracket
from apnt.errors import InputError
from apnt.evaluate import command, pictures, sets
from apnt.evaluate.loop import evaluate_brackets
from apnt.evaluate.page import Page, chart
from apnt.evaluate.page.places import find_places
from apnt.evaluate.page.templates import render
from apnt.evaluate.scores import Table
from apnt.methods import Maps, Method
from apnt.metrics import psnr_mu
from apnt.tonemap import mu_law, mu_law_inverse

SIZE = (96, 128)


def _bracket(name: str, seed: int = 0) -> SyntheticBracket:
    """A smooth scene, saturated in the medium's left half, where a block also moves by (3, -4)."""
    rng = np.random.default_rng(seed)
    truth = np.linspace(0.02, 0.2, SIZE[1])[None, :, None] * rng.uniform(0.8, 1, (*SIZE, 3))
    truth[:, :60] += 0.4
    times = np.array([1.0, 4.0, 16.0])
    ldr = np.clip(truth * times[:, None, None, None], 0, 1) ** (1 / 2.2)
    moving = np.zeros(SIZE, dtype=bool)
    moving[40:70, 20:50] = True
    motion = np.zeros((*SIZE, 2), np.float32)
    motion[moving] = (3, -4)
    visible = np.ones(SIZE, dtype=bool)
    visible[40:70, 50:54] = False
    return SyntheticBracket(
        name, ldr.astype(np.float32), times, truth.astype(np.float32), moving, motion=motion, visible=visible
    )


def _methods(bad_at: tuple[int, int] = (50, 30)) -> dict[str, Method]:
    """The medium exposure, and one that knows the truth but for a spot, and its motion to the pixel."""

    def medium(bracket: Bracket) -> np.ndarray:
        return np.clip(bracket.ldr[1] ** 2.2 / bracket.times[1], 0, 1).astype(np.float32)

    def nearly(bracket: Bracket) -> np.ndarray:
        assert bracket.truth is not None
        result = bracket.truth.copy()
        result[bad_at[0] : bad_at[0] + 6, bad_at[1] : bad_at[1] + 6] *= 0.5
        return result

    def explain(bracket: Bracket) -> tuple[np.ndarray, Maps]:
        assert isinstance(bracket, SyntheticBracket)
        attention = np.linspace(0.3, 0.7, SIZE[1])[None].repeat(SIZE[0], axis=0)
        return nearly(bracket), Maps(
            np.stack([attention, 1 - attention]), attention, np.int32(bracket.motion)
        )

    return {
        "medium": Method("medium exposure", medium),
        "apnt": Method("<Ours & co>", nearly, {"weights": "w<1>"}, explain),
    }


def _render(brackets: list[Bracket], methods: dict[str, Method], limit: int = 6) -> str:
    page = Page(methods, limit)
    explain = methods["apnt"].explain
    maps = [explain(bracket)[1] for bracket in brackets] if explain else [None] * len(brackets)
    remaining = iter(maps)

    def done(bracket: Bracket, results: dict[str, np.ndarray]) -> None:
        seen = next(remaining)
        page.add(bracket, results, {} if seen is None else {"apnt": seen})

    table = evaluate_brackets({name: method.fuse for name, method in methods.items()}, brackets, done=done)
    return page.render(table, "a <set>", ["a & b"])


def test_the_page_is_whole_and_loads_nothing(page_reader: Any) -> None:
    html = _render([_bracket("one"), _bracket("t<w>o", 1)], _methods())
    reader = page_reader(html)
    for tag, attributes in reader.found:
        assert tag not in ("link", "iframe", "object")
        assert (attributes.get("src") or "data:").startswith("data:")
        assert (attributes.get("href") or "#").startswith("#")
    assert all(target.startswith("data:") for target in re.findall(r"url\(([^)]*)", html))
    assert "http" not in html
    assert "@import" not in html
    # Style and script are in the page as they are, not escaped as names are.
    assert ".legend > span" in html
    assert "'click', () => show(image)" in html


def test_names_are_text_and_not_markup(page_reader: Any) -> None:
    html = _render([_bracket("t<w>o")], _methods())
    for markup in ("<Ours", "t<w>o", "a <set>", "w<1>", "a & b<"):
        assert markup not in html
    text = page_reader(html).text
    for name in ("<Ours & co>", "t<w>o", "a <set>", "a & b"):
        assert name in text


def test_every_scene_shows_what_there_is(page_reader: Any) -> None:
    bracket = _bracket("one")
    methods = _methods()
    html = _render([bracket], methods)
    reader = page_reader(html)
    images = reader.images()
    # Results appear tone-mapped, in two cuts, and (the methods) as an error.
    assert {name: len(found) for name, found in images.items()} == {
        "short, +0 EV": 1,
        "medium, +2 EV": 1,
        "long, +4 EV": 1,
        "pixels that are counted apart": 1,
        "short input": 2,
        "medium input": 2,
        "long input": 2,
        "medium exposure": 4,
        "<Ours & co>": 4,
        "truth": 3,
        "motion attention, short": 1,
        "motion attention, long": 1,
        "saturation attention, medium": 1,
        "offsets found": 1,
        "true offsets": 1,
    }
    short = images["short, +0 EV"][0].astype(float)
    assert np.abs(short - bracket.ldr[0] * 255).mean() < 4
    assert bracket.truth is not None
    ours = methods["apnt"].fuse(bracket)
    for part in (
        "protocol peers",
        "SSIM 11x11 Gaussian sigma 1.5 valid",
        f"{psnr_mu(ours, bracket.truth):.1f} dB",
        f"sat. {psnr_mu(ours, bracket.truth, bracket.saturated):.1f}",
        "within 1 px: 100% sat., 100% elsewhere",
        "absolute difference after the µ-law curve",
        "at the rim 5 px",
        "colour wheel",
    ):
        assert part in reader.text or part in html


def test_without_maps_motion_or_moving_pixels_the_rest_stands(page_reader: Any) -> None:
    whole = _bracket("plain")
    plain = Bracket("plain", whole.ldr, whole.times, whole.truth)
    methods = _methods()
    methods["apnt"] = Method("ours", methods["apnt"].fuse)
    reader = page_reader(_render([plain], methods))
    assert "What the network saw" not in reader.text
    assert "an object moves over it" not in reader.text
    assert "largest error among saturated pixels" in reader.text
    assert len(reader.images()["truth"]) == 3


def test_five_frames_with_another_reference_than_the_middle_one(page_reader: Any) -> None:
    whole = _bracket("five")
    assert whole.truth is not None
    times = 2.0 ** np.arange(5)
    ldr = (np.clip(whole.truth * times[:, None, None, None], 0, 1) ** (1 / 2.2)).astype(np.float32)
    five = SyntheticBracket(
        "five", ldr, times, whole.truth, whole.moving, 3, motion=whole.motion, visible=whole.visible
    )
    methods = _methods()
    nearly = methods["apnt"].fuse
    attention = np.linspace(0.3, 0.7, five.saturated.size).reshape(five.size)
    maps = Maps(np.stack([attention] * 4), attention, np.int32(five.motion))
    methods["apnt"] = Method("ours", nearly, explain=lambda bracket: (nearly(bracket), maps))
    reader = page_reader(_render([five], methods))
    names = five.frame_names
    others = [name for name in names if name != names[3]]
    for label in (f"{names[0]}, +0 EV", f"{names[3]}, reference, +3 EV", f"{names[4]}, +4 EV"):
        assert len(reader.images()[label]) == 1
    assert [label for label in reader.images() if "reference" in label] == [f"{names[3]}, reference, +3 EV"]
    found = [label for label in reader.images() if "attention" in label]
    assert found == [*(f"motion attention, {k}" for k in others), f"saturation attention, {names[3]}"]
    assert f"{five.saturated.mean():.1%} saturated" in reader.text
    assert f"saturated in the {names[3]} exposure" in reader.text
    assert f"the {names[3]} exposure lies in the {names[0]} one" in reader.text


def test_the_worst_scenes_are_kept_in_order() -> None:
    def spoilt(bracket: Bracket) -> np.ndarray:
        assert bracket.truth is not None
        return bracket.truth * {"a": 0.9, "b": 0.6, "c": 0.99, "d": 0.5}[bracket.name]

    methods = _methods()
    methods["apnt"] = Method("ours", spoilt)
    html = _render([_bracket(name, seed) for seed, name in enumerate("abcd")], methods, limit=2)
    assert re.findall(r"<section.*?<h2>(\w)</h2>", html) == ["b", "d"]
    assert "The 2 scenes where ours scores lowest." in html
    assert len(re.findall(r"<circle", html)) == 8  # the chart has all of them


def test_a_truth_that_is_met_has_no_place_to_look_at() -> None:
    methods = {"medium": Method("medium exposure", lambda b: b.truth)}  # type: ignore[arg-type,return-value]
    methods["apnt"] = Method("ours", methods["medium"].fuse)
    html = _render([_bracket("one")], methods)
    assert "largest" not in html
    assert "∞" in html


def test_places_are_where_they_should_be() -> None:
    error = {"medium": np.zeros(SIZE), "apnt": np.zeros(SIZE)}
    region = np.zeros(SIZE, dtype=bool)
    region[60:90, 80:120] = True
    error["apnt"][65:70, 90:95] = 0.3  # among the moving saturated pixels
    error["apnt"][5:15, 5:15] = error["medium"][5:15, 5:15] = 0.9  # larger, but outside, and no gain
    error["medium"][30:36, 60:66] = 0.8
    error["medium"][68:74, 92:98] = 0.9  # a larger gain, but beside the first place
    regions = {"all": None, "saturated": np.ones(SIZE, dtype=bool), "moving saturated": region}
    first, second = find_places(error, "apnt", "medium", regions)
    assert first.reason == "largest error among moving saturated pixels"
    assert first.cut(error["apnt"]).sum() == pytest.approx(25 * 0.3)
    assert second.reason == "largest gain over the medium exposure"
    assert second.cut(error["medium"]).sum() == pytest.approx(36 * 0.8)
    (only,) = find_places(error, "medium", "medium", dict.fromkeys(regions))
    assert only.reason == "largest error"
    assert only.cut(error["medium"]).sum() == pytest.approx(100 * 0.9)


def test_error_map_is_the_difference_on_the_curve() -> None:
    truth = np.full((4, 5, 3), 0.1)
    prediction = truth.copy()
    prediction[1, 2, 0] = mu_law_inverse(mu_law(np.array(0.1)) + 0.06)
    expected = np.zeros((4, 5))
    expected[1, 2] = 0.02
    np.testing.assert_allclose(pictures.error_map(prediction, truth), expected, atol=1e-12)
    # The scale's legend: an error of 0.1 everywhere is 20 dB.
    shifted = mu_law_inverse(mu_law(truth) + 0.1)
    assert psnr_mu(shifted, truth) == pytest.approx(20)


def test_ramps_go_from_the_first_colour_to_the_last() -> None:
    colours = ((255, 255, 255), (200, 100, 0), (0, 0, 0))
    values = np.array([[-1.0, 0.0, 1.0, 2.0, 9.0]])
    expected = [[(255, 255, 255), (255, 255, 255), (200, 100, 0), (0, 0, 0), (0, 0, 0)]]
    np.testing.assert_array_equal(pictures.ramp(values, 0, 2, colours), expected)
    assert pictures.ramp(np.zeros((2, 2)), 0, 0, colours).tolist() == [[[255] * 3] * 2] * 2
    for ramp in (pictures.ERROR_RAMP, pictures.ATTENTION_RAMP):
        light = np.array(ramp) @ (0.2126, 0.7152, 0.0722)
        assert (np.diff(light) < -20).all()  # reads in black and white too


def test_offsets_have_the_colours_of_the_wheel() -> None:
    offset = np.array([[[0, 0], [0, 10], [10, 0], [0, -10], [-10, 0], [0, 40], [0, 5]]])
    colours = pictures.flow(offset, 10)[0].astype(int)
    assert (colours[0] == 255).all()
    right, down, left, up = colours[1:5]
    assert right[0] > 200
    assert right[1] == right[2] == 0
    assert down[1] > max(down[0], down[2])
    assert left[0] == 0
    assert min(left[1:]) > 200
    assert up[2] > up[0] > up[1]
    np.testing.assert_array_equal(colours[5], right)  # beyond the rim
    assert colours[6][1] == pytest.approx(118, abs=2)  # half way, half as pale
    wheel = pictures.flow_wheel(101).astype(int)
    np.testing.assert_allclose(wheel[50, 95], pictures.flow(np.array([[[0, 0.9]]]), 1)[0, 0], atol=12)
    np.testing.assert_allclose(wheel[95, 50], pictures.flow(np.array([[[0.9, 0]]]), 1)[0, 0], atol=12)
    assert (wheel[0, 0] == 255).all()
    known = np.zeros((1, 7), dtype=bool)
    assert (pictures.flow(offset, 10, known) == pictures.UNKNOWN).all()


def test_the_reach_is_a_round_number_that_few_exceed() -> None:
    offsets = np.zeros((10, 10, 2))
    assert pictures.reach_of(offsets) == 2
    offsets[:5] = (3, 4)
    assert pictures.reach_of(offsets) == 5
    offsets[0, 0] = (300, 0)  # one stray offset
    assert pictures.reach_of(offsets) == 5
    assert pictures.reach_of(offsets * 40) == 200
    assert pictures.reach_of(np.zeros((0, 2))) == 2


def test_images_are_tone_mapped_by_one_curve() -> None:
    rng = np.random.default_rng(0)
    bright = rng.uniform(0.5, 1, (32, 40, 3)).astype(np.float32)
    dark = bright / 50
    same = pictures.tone_map_alike([bright, dark, bright])
    np.testing.assert_array_equal(same[0], same[2])
    assert same[0].shape == (32, 40, 3)
    assert same[0].mean() > same[1].mean() + 40  # each by itself would look the same


def test_a_large_picture_is_shrunk_and_a_small_one_is_not() -> None:
    assert pictures.fit(np.zeros((300, 1200, 3), np.uint8), 400).shape == (100, 400, 3)
    assert pictures.fit(np.zeros((30, 20, 3), np.uint8), 400).shape == (30, 20, 3)


def test_the_chart_has_a_dot_for_every_number_that_is_there(page_reader: Any) -> None:
    scores = {"a": {"psnr_mu": [20.0, 30.0, math.nan]}, "b": {"psnr_mu": [math.inf, 35.0, 31.0]}}
    table = Table(["one", "two", "a<very long name of a scene from a folder>"], scores)
    made = chart.make_chart(table, {"a": "A", "b": "B"}, {"a": "#111", "b": "#222"}, "b")
    html = render("chart.html.j2", chart=made)
    page_reader(html)
    dots = re.findall(r'cx="([\d.]+)" cy="([\d.]+)".*?<title>(.*?)</title>', html)
    assert [dot[2] for dot in dots] == ["A: 20.00", "B: inf", "A: 30.00", "B: 35.00", "B: 31.00"]
    places = [float(dot[0]) for dot in dots]
    assert places[0] < places[2] < places[4] < places[3] <= places[1]
    ticks = {text: float(x) for x, text in re.findall(r'class="tick" x="([\d.]+)".*?>([\d.]+)<', html)}
    assert ticks["20"] == places[0]
    assert ticks["30"] == places[2]
    assert 0 < min(ticks.values()) < max(ticks.values()) < 1100
    none = Table(["one"], {"a": {"psnr_mu": [math.nan]}})
    assert chart.make_chart(none, {"a": "A"}, {"a": "#111"}, "a") is None


@pytest.mark.parametrize(("least", "most"), [(20, 45), (29.9, 30.1), (30, 30), (9.2, 9.9), (-3, 80), (0, 0)])
def test_scales_hold_the_values_in_a_few_round_steps(least: float, most: float) -> None:
    low, high, step = chart.scale(least, most)
    assert low <= least <= most <= high
    assert 1 <= round((high - low) / step) <= 11
    assert low / step == pytest.approx(round(low / step))


@pytest.fixture
def page_set(monkeypatch: pytest.MonkeyPatch) -> str:
    def load(data: str | Path | None) -> tuple[Iterator[Bracket], int]:
        return iter([_bracket("a"), _bracket("b", 1)]), 2

    monkeypatch.setitem(sets.SETS, "page", load)
    return "page"


def test_the_command_writes_the_page(page_reader: Any, page_set: str, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    command.evaluate_set(
        page_set, methods=["medium", "weighted"], html_path=path, protocols=["peers", "pu21"]
    )
    text = page_reader(path.read_text(encoding="utf-8")).text
    assert "page: 2 brackets, 2 methods" in text
    for word in ("weighted (eq. 1)", "PU21-PSNR, dB", "moving saturated pixels"):
        assert word in text
    assert list(tmp_path.iterdir()) == [path]


def test_bad_page_arguments_are_named_before_anything_runs(page_set: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"html must end in \.html"):
        command.evaluate_set(page_set, html_path=tmp_path / "report.pdf")
    with pytest.raises(InputError, match="html_scenes must be at least 1, got 0"):
        command.evaluate_set(page_set, html_path=tmp_path / "report.html", html_scenes=0)


def test_a_scene_of_noise_is_below_a_megabyte() -> None:
    def scene(seed: int) -> Bracket:
        rng = np.random.default_rng(seed)
        coarse = rng.random((30, 40, 3)).astype(np.float32)
        truth = np.kron(coarse, np.ones((13, 13, 1), np.float32)) * rng.uniform(0.9, 1, (390, 520, 1))
        times = np.array([1.0, 4.0, 16.0])
        ldr = np.clip(truth * times[:, None, None, None], 0, 1) ** (1 / 2.2)
        return Bracket(f"s{seed}", ldr.astype(np.float32), times, truth.astype(np.float32))

    methods = _methods()
    methods = {
        "medium": methods["medium"],
        "other": methods["medium"],
        "apnt": Method("o", methods["apnt"].fuse),
    }
    assert len(_render([scene(0)], methods)) < 1_000_000
