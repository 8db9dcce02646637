"""The page of one fuse: what it holds, and what it does in a browser."""

from __future__ import annotations

import base64
import io
import re
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

import apnt
from apnt._fuse import fuse_bracket
from apnt.bracket import Bracket
from apnt.errors import InputError
from apnt.evaluate.page import figures
from apnt.looks.colour import SRGB
from apnt.methods import Maps, Method, load_method
from apnt.methods.weighted import weighted
from apnt.prepare.pipeline import Options, prepare
from apnt.report import Run, decisions, layers, page, radiance, write_report

SIZE = (96, 143)  # odd, so that rows of half floats begin at no multiple of four bytes
STOPS = (0, 2, 4)
NO_WEBGL = "--disable-3d-apis"
WEBGL = "--enable-unsafe-swiftshader"
LEVEL = 1.01  # of 255: rounding


def scene(size: tuple[int, int] = SIZE) -> np.ndarray:
    """(H, W, 3) radiance in [0, 1]: smooth colours over eight stops, with structure."""
    rng = np.random.default_rng(3)
    coarse = cv2.resize(rng.random((7, 9, 3)).astype(np.float32), size[::-1], interpolation=cv2.INTER_CUBIC)
    return np.clip(0.9 * 2.0 ** (-8 * np.clip(coarse, 0, 1)), 0, 1).astype(np.float32)


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("<i>frames")
    light, paths = scene(), []
    for stops, name in zip(STOPS, ("short", 'a<b>"&amp;', "long"), strict=True):
        path = folder / f"{name}.png"
        pixels = np.clip(light * 2**stops, 0, 1) ** (1 / 2.2)
        Image.fromarray(np.rint(pixels * 255).astype(np.uint8)).save(path)
        paths.append(path)
    return paths


def test_an_exposure_that_was_corrected_is_said_beside_the_recorded_one(run: Run) -> None:
    bracket = run.prepared.bracket
    times = bracket.times * [1.0, 1.0, 1.25]
    corrected = replace(run, prepared=replace(run.prepared, bracket=replace(bracket, times=times)))
    assert [row.exposure for row in decisions.frames(run)] == ["-2.00 EV", "+0.00 EV", "+2.00 EV"]
    exposures = [row.exposure for row in decisions.frames(corrected)]
    assert exposures == ["-2.00 EV", "+0.00 EV", "+2.32 EV (+2.00 given)"]
    recorded = replace(corrected.prepared, report=replace(corrected.prepared.report, exposures="EXIF"))
    exposures = [row.exposure for row in decisions.frames(replace(corrected, prepared=recorded))]
    assert exposures == ["-2.00 EV", "+0.00 EV", "+2.32 EV (+2.00 recorded)"]


def test_exposures_that_nothing_records_are_not_called_recorded(frames: list[Path], run: Run) -> None:
    prepared = prepare(frames, options=Options("gamma22", "off"))
    report, bracket = prepared.report, prepared.bracket
    assert report.exposures == "pixels"
    short, middle, long = (report.stops[n] for n in bracket.order)
    times = bracket.times * [1.0, 1.0, 1.25]
    found = replace(run, prepared=replace(prepared, bracket=replace(bracket, times=times)))
    rows = [row.exposure for row in decisions.frames(found)]
    # Four tenths of the stops between a frame and the reference, and none for that itself.
    assert rows[0] == f"{short - middle:+.2f} ±{0.4 * (middle - short):.2f} EV"
    assert rows[1] == "+0.00 EV"
    used, measured = long - middle + np.log2(1.25), long - middle
    assert rows[2] == f"{used:+.2f} ±{0.4 * measured:.2f} EV ({measured:+.2f} measured at first)"
    said = "Exposures: measured on the pixels, nine times of ten right to ± beside the reference's."
    assert said in decisions.sentences(found)


def test_exposures_of_which_some_were_measured(frames: list[Path], run: Run) -> None:
    for given, reference, doubted in (((0, np.nan, 4), 0, " ± "), ((np.nan, 2, 4), 1, "±  ")):
        options = Options("gamma22", "off", reference=reference)
        prepared = prepare(frames, stops=given, options=options)
        found = replace(run, prepared=prepared)
        shown = ["±" if "±" in row.exposure else " " for row in decisions.frames(found)]
        assert "".join(shown) == doubted
        assert decisions.sentences(found)[0].startswith(
            "Exposures: as given, in stops, and the others measured"
        )
    both = replace(prepared.report, stops_error=[0.2, 0.0, 0.3], reference=0)
    last = decisions.frames(replace(run, prepared=replace(prepared, report=both)))[-1]
    assert "±0.50 EV" in last.exposure


def test_a_map_of_one_value_has_no_scale() -> None:
    flat = np.full((20, 30), 0.4637, np.float32)
    spot = flat.copy()
    spot[0, 0] = 1.0
    ramp = np.linspace(0, 1, 600, dtype=np.float32).reshape(20, 30)
    row = figures.saw("a", Maps(np.stack([flat, spot]), ramp, None, 0, None), ["s", "m", "l"], 1, None)
    details = [figure.detail for figure in row.figures]
    assert details == ["0.46 everywhere", "0.46 in all but 2 % of it", "white 0.01, blue 0.99"]
    data = base64.b64decode(row.figures[0].source.partition(",")[2])
    assert np.ptp(np.asarray(Image.open(io.BytesIO(data))).astype(int), axis=(0, 1)).max() == 0
    noisy = flat + np.random.default_rng(0).normal(0, 1e-4, flat.shape).astype(np.float32)
    low, high, said = figures._scale(noisy)
    assert (high - low, said) == (1.0, "0.46 everywhere")


def made(frames: list[Path], *, kind: str = "radiance") -> Run:
    """A run of a method that returns the scene itself, and maps."""
    light = scene()
    ramp = np.linspace(0, 1, SIZE[1], dtype=np.float32)[None].repeat(SIZE[0], axis=0)
    maps = Maps(np.stack([ramp, 1 - ramp]), ramp, np.full((*SIZE, 2), (3, -4), np.int32), 20, 0.1 * ramp)
    method = Method(
        "<Ours & co>", lambda bracket: light, {"weights": "<w>"}, lambda bracket: (light, maps), frames=3
    )
    prepared = prepare(frames, stops=STOPS, options=Options("gamma22", "off", rendered=kind == "display"))
    fused = fuse_bracket(prepared.bracket, method, maps=kind == "radiance")
    return Run("<out>.exr", prepared, fused, method, kind, {"read": 1.25, "fuse": 2.5})


@pytest.fixture(scope="module")
def run(frames: list[Path]) -> Run:
    return made(frames)


@pytest.fixture(scope="module")
def report(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(tmp_path_factory.mktemp("report") / "a.html", run)


VOID = ("meta", "img", "br", "link", "input")


def decoded(html: str, layer: str) -> np.ndarray:
    """The radiance of a layer, read as the page's script does, by other means."""
    found = re.search(
        rf'data-layer="{layer}"[^>]*width="(\d+)" height="(\d+)" data-scale="([^"]+)"'
        rf'.*?data-of="{layer}">(.*?)<',
        html,
        re.S,
    )
    assert found is not None
    width, height, scale, data = int(found[1]), int(found[2]), float(found[3]), found[4]
    low, high = np.frombuffer(zlib.decompress(base64.b64decode(data)), np.uint8).reshape(2, height, width, 3)
    bits = np.cumsum(low.astype(np.uint16) | high.astype(np.uint16) << 8, axis=1, dtype=np.uint16)
    return bits.view(np.float16).astype(np.float32) * np.float32(scale)


def test_the_page_is_whole_and_loads_nothing(page_reader: Any, report: Path) -> None:
    html = report.read_text(encoding="utf-8")
    for _, attributes in page_reader(html, VOID).found:
        assert (attributes.get("src") or "data:").startswith("data:")
        assert (attributes.get("href") or "data:").startswith("data:")
    assert all(target.startswith("data:") for target in re.findall(r"url\(([^)]*)", html))
    assert "http" not in html
    assert list(report.parent.iterdir()) == [report]


def test_names_are_text_and_the_decisions_are_told(page_reader: Any, report: Path) -> None:
    html = report.read_text(encoding="utf-8")
    for markup in ("<out>", "<b>&quot;", "a<b>", "<Ours", "<w>"):
        assert markup not in html
    text = " ".join(page_reader(html, VOID).text.split())
    for part in (
        "<out>.exr",
        'a<b>"&amp;.png',
        "<Ours & co>",
        "weights: <w>",
        "-2.00 EV",
        "+2.00 EV",
        "Exposures: as given, in stops.",
        "the middle one of three exposures",
        "reference: its moment and geometry are shown",
        "the network's short frame",
        "not aligned",
        "error that the network expects",
        "motion attention, long.png",
        "searched up to 20 px",
        "1.2 s",
        "in 3.8 s",
        "saturated in every frame",
    ):
        assert part in text or part in html, part
    assert "averaged down" not in text


def test_the_radiance_is_the_real_one_to_half_precision(report: Path, run: Run) -> None:
    html = report.read_text(encoding="utf-8")
    np.testing.assert_allclose(decoded(html, "fused"), run.fused.image, rtol=2.0**-11, atol=0)
    merge = weighted(run.prepared.bracket)
    np.testing.assert_allclose(decoded(html, "merge"), merge, rtol=2.0**-11, atol=2.0**-39)


@pytest.mark.parametrize("largest", [0.0, 1e-6, 0.3, 1.0, 7e4])
def test_light_of_any_scale_is_kept(largest: float) -> None:
    image = scene() / scene().max() * np.float32(largest)
    found = radiance.embed(image)
    html = (
        f'<canvas data-layer="x" width="{found.width}" height="{found.height}" data-scale="{found.scale}">'
        f'<script data-of="x">{found.data}<'
    )
    np.testing.assert_allclose(decoded(html, "x"), image, rtol=2.0**-11, atol=0)


def test_a_frame_has_its_cameras_look_again(frames: list[Path]) -> None:
    prepared = prepare(frames, stops=STOPS, options=Options("srgb", "off"))
    stored = np.asarray(Image.open(frames[1])) / np.float32(255)
    shown = layers.frame(prepared, 1, 10**6, rendered=False)
    np.testing.assert_allclose(shown, stored, atol=2e-3)


def test_the_merge_in_strips_is_the_merge() -> None:
    light = scene((600, 40))
    times = np.array([1.0, 4.0, 16.0])
    ldr = (np.clip(light * times[:, None, None, None], 0, 1) ** (1 / 2.2)).astype(np.float32)
    valid = np.random.default_rng(0).random(ldr.shape[:3]) > 0.2
    bracket = Bracket("b", ldr, times, valid=valid)
    np.testing.assert_array_equal(layers.merged(bracket, 10**6), weighted(bracket))


def test_what_does_not_fit_is_reduced_and_said(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "_PIXELS", (10**6, 4000, 1000))
    whole = len(page.render_report(run, 10**6))
    small = len(page.render_report(run, 4000))
    assert small < whole
    monkeypatch.setattr(page, "LARGEST", (whole + small) // 2)
    html = write_report(tmp_path / "a.html", run).read_text(encoding="utf-8")
    found = re.search(r"Shown at (\d+) × (\d+) pixels, averaged down from 143 × 96", html)
    assert found is not None
    assert 3000 < int(found[1]) * int(found[2]) <= 4000
    want = radiance.reduced(run.fused.image, 4000)
    np.testing.assert_allclose(decoded(html, "fused"), want, rtol=2.0**-11, atol=0)
    assert want.mean() == pytest.approx(run.fused.image.mean(), rel=0.01)


def test_paths_and_sizes_that_cannot_be_used(run: Run, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"report must end in \.html"):
        write_report(tmp_path / "a.pdf", run)
    with pytest.raises(InputError, match=r"report must end in \.html"):
        apnt.fuse(["none.png", "nothing.png"], report=tmp_path / "a.pdf")
    cut = Run("a", run.prepared, type(run.fused)(run.fused.image[1:]), run.method)
    with pytest.raises(InputError, match=r"size \(96, 143\), got \(95, 143\)"):
        write_report(tmp_path / "a.html", cut)


def test_fuse_writes_one(frames: list[Path], tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    steps: list[str] = []
    image = apnt.fuse(
        frames,
        stops=STOPS,
        method="weighted",
        curve="gamma22",
        align="off",
        report=path,
        progress=steps.append,
    )
    assert steps == ["read", "weights", "fuse", "report"]
    html = path.read_text(encoding="utf-8")
    np.testing.assert_allclose(decoded(html, "fused"), image, rtol=2.0**-11, atol=2.0**-39)
    assert 'data-layer="merge"' not in html  # it is the result itself
    assert "What the network saw" not in html


def pixels(view: Any, layer: str) -> np.ndarray:
    """(H, W, 3) what a canvas shows."""
    data = view.evaluate(f"document.querySelector('[data-layer={layer}]').toDataURL()")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data.split(",")[1]))).convert("RGB"))


def expected(image: np.ndarray, gain: float) -> np.ndarray:
    return SRGB.encode(np.clip(image * np.float32(gain), 0, 1)) * 255


def opened(visit: Callable[..., Any], report: Path, *flags: str, **size: int) -> Any:
    view = visit(report.as_uri(), *flags, **size)
    view.wait_for_selector(".stage[data-ready]")
    return view


@pytest.mark.parametrize(("flag", "way"), [(WEBGL, "WebGL"), (NO_WEBGL, "canvas")])
def test_the_slider_exposes_the_radiance(
    visit: Callable[..., Any], report: Path, run: Run, flag: str, way: str
) -> None:
    view = opened(visit, report, flag)
    assert f"drawn by {way}." in view.inner_text("#way")
    light = decoded(report.read_text(encoding="utf-8"), "fused")
    for stops in (0, 2, -2.5, 1.25):
        view.fill("#exposure", str(stops))
        assert view.inner_text("output[for=exposure]") == f"{stops:+.2f} EV"
        difference = np.abs(pixels(view, "fused") - expected(light, 4 * 2**stops))
        assert difference.max() < LEVEL
    view.select_option("#before", "merge")
    merge = decoded(report.read_text(encoding="utf-8"), "merge")
    assert np.abs(pixels(view, "merge") - expected(merge, 4 * 2**1.25)).max() < LEVEL
    view.locator(".stops button", has_text="long.png").click()
    assert float(view.input_value("#exposure")) == pytest.approx(2)
    assert np.abs(pixels(view, "fused") - expected(light, 16)).max() < LEVEL


def test_a_lost_webgl_goes_on_as_canvas(visit: Callable[..., Any], report: Path) -> None:
    view = opened(visit, report, WEBGL)
    view.select_option("#after", "fused")
    canvas = "document.querySelector('[data-layer=fused]')"
    view.evaluate(f"{canvas}.getContext('webgl2').getExtension('WEBGL_lose_context').loseContext()")
    view.wait_for_selector("canvas[data-layer=fused][data-way=canvas]")
    view.fill("#exposure", "1")
    light = decoded(report.read_text(encoding="utf-8"), "fused")
    assert np.abs(pixels(view, "fused") - expected(light, 8)).max() < LEVEL


def test_it_opens_with_the_picture_until_the_radiance_is_exposed(
    visit: Callable[..., Any], report: Path
) -> None:
    view = opened(visit, report, NO_WEBGL)
    shown = "document.querySelector('.after .on').dataset.layer"
    assert (view.input_value("#after"), view.evaluate(shown)) == ("picture", "picture")
    view.fill("#exposure", "1")
    assert (view.input_value("#after"), view.evaluate(shown)) == ("fused", "fused")
    view.select_option("#after", "picture")
    view.select_option("#before", "merge")  # other radiance is exposed, and nothing changes on the right
    view.fill("#exposure", "0")
    assert view.input_value("#after") == "picture"


def shot(view: Any) -> np.ndarray:
    """(h, w, 3) what the stage shows."""
    return np.asarray(Image.open(io.BytesIO(view.locator(".stage").screenshot())).convert("RGB")).astype(int)


def test_the_wipe_is_dragged(visit: Callable[..., Any], report: Path) -> None:
    view = opened(visit, report, NO_WEBGL)
    view.add_style_tag(content=".divider, .tag { display: none !important }")
    view.select_option("#before", "frame0")
    box = view.locator(".stage").bounding_box()

    def drag(share: float) -> np.ndarray:
        middle = box["y"] + box["height"] / 2
        view.mouse.move(box["x"] + box["width"] / 2, middle)
        view.mouse.down()
        view.mouse.move(box["x"] + box["width"] * share, middle, steps=3)
        view.mouse.up()
        return shot(view)

    after, before, third = drag(0.0), drag(1.0), drag(1 / 3)
    assert np.abs(after - before).mean() > 10
    assert float(view.input_value("#wipe")) == pytest.approx(33.3, abs=0.6)
    edge = third.shape[1] // 3
    np.testing.assert_array_equal(third[:, : edge - 8], before[:, : edge - 8])
    np.testing.assert_array_equal(third[:, edge + 8 :], after[:, edge + 8 :])
    view.mouse.move(box["x"] + box["width"] - 5, box["y"] + 5)  # no button: it stays
    assert float(view.input_value("#wipe")) == pytest.approx(33.3, abs=0.6)


def test_everything_is_reached_by_keys(visit: Callable[..., Any], report: Path) -> None:
    view = opened(visit, report, NO_WEBGL)
    reached = []
    for _ in range(30):
        view.keyboard.press("Tab")
        reached.append(view.evaluate("document.activeElement.id || document.activeElement.tagName"))
    for part in ("wipe", "before", "after", "exposure", "BUTTON", "IMG"):
        assert part in reached, part
    view.focus("#exposure")
    view.keyboard.press("ArrowRight")
    assert view.inner_text("output[for=exposure]") == "+0.05 EV"
    view.focus("#wipe")
    view.keyboard.press("Home")
    assert view.evaluate("document.querySelector('.stage').style.getPropertyValue('--wipe')") == "0%"
    view.focus("figure img")
    view.keyboard.press("Enter")
    assert view.evaluate("document.querySelector('dialog').open")
    view.keyboard.press("Escape")
    assert not view.evaluate("document.querySelector('dialog').open")


@pytest.mark.parametrize("width", [390, 1280])
def test_it_fits_the_width(
    visit: Callable[..., Any], screenshot: Callable[..., None], report: Path, width: int
) -> None:
    view = opened(visit, report, NO_WEBGL, width=width)
    assert view.evaluate("document.documentElement.scrollWidth") <= width
    box = view.locator(".stage").bounding_box()
    assert box["width"] / box["height"] == pytest.approx(SIZE[1] / SIZE[0], rel=0.02)
    assert box["width"] > 0.85 * min(width, 1000) or box["height"] > 700
    for cell in view.locator(".frames td").all():  # nothing of a frame is out of sight
        place = cell.bounding_box()
        assert place["x"] + place["width"] <= width
    screenshot(view, f"report-{width}")


def test_a_picture_for_a_display_has_no_exposure(
    visit: Callable[..., Any], frames: list[Path], tmp_path: Path
) -> None:
    prepared = prepare(frames, stops=STOPS, options=Options("auto", "off", rendered=True))
    method = load_method("mertens")
    fused = fuse_bracket(prepared.bracket, method)
    path = write_report(tmp_path / "a.html", Run("a.tif", prepared, fused, method, "display"))
    view = opened(visit, path)
    assert view.query_selector("#exposure") is None
    assert "no radiance" in view.inner_text("main")
    assert view.eval_on_selector_all("#after option", "all => all.map(each => each.value)") == ["picture"]
