"""``apnt ui``: its steps, and the page in a browser."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer.testing
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from apnt.cli import app
from apnt.data.procedural import procedural_bracket
from apnt.run import Look
from apnt.ui import work

LONGEST = 60_000  # milliseconds to wait on a busy machine


class Medium(torch.nn.Module):
    """The medium exposure's light, and the maps of a network that does not match."""

    def forward(self, ldr: torch.Tensor, times: torch.Tensor, return_maps: bool = False) -> object:
        radiance = ldr[:, 1] ** 2.2 / times[:, 1, None, None, None]
        ones = torch.ones_like(radiance[:, :1])
        maps = {"motion": [ones, ones], "saturation": [ones], "offset": []}
        return (radiance, maps) if return_maps else radiance


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Stands in for the class that loads weights."""

    class Network:
        from_pretrained = staticmethod(lambda weights: Medium())

    monkeypatch.setattr("apnt.methods.network.load_network", Network.from_pretrained)
    work._loaded.cache_clear()
    yield
    work._loaded.cache_clear()


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder, paths = tmp_path_factory.mktemp("photographs"), []
    bracket = procedural_bracket(height=96, width=128)
    for name, frame, time in zip(bracket.frame_names, bracket.ldr, bracket.times, strict=True):
        exif = Image.Exif()
        exif.get_ifd(0x8769)[0x829A] = IFDRational(round(time), 400)
        paths.append(folder / f"{name} <b>.png")
        Image.fromarray(np.rint(frame * 255).astype(np.uint8)).save(paths[-1], exif=exif.tobytes())
    return paths


SETTINGS = work.Settings("default", "cpu", "fp32")


def by_command(photographs: list[Path], folder: Path, *options: str) -> tuple[bytes, bytes]:
    """The HDR image and the picture that ``apnt fuse`` writes."""
    names = [*map(str, photographs), "-o", str(folder / "a.exr"), "--device", "cpu", "--precision", "fp32"]
    done = typer.testing.CliRunner().invoke(app, ["fuse", *names, *options])
    assert done.exit_code == 0, done.output
    return (folder / "a.exr").read_bytes(), (folder / "a_preview.jpg").read_bytes()


@pytest.mark.usefixtures("network")
def test_the_files_are_those_of_apnt_fuse(photographs: list[Path], tmp_path: Path) -> None:
    steps: list[str] = []
    made = work.fuse_files(photographs, SETTINGS, Look(), tmp_path, steps.append)
    assert steps == ["read", "weights", "fuse", "write", "report"]
    (tmp_path / "command").mkdir()
    radiance, picture = by_command(photographs, tmp_path / "command")
    assert made.radiance.read_bytes() == radiance
    assert made.picture.read_bytes() == picture
    look = Look("filmic", 1.0, "5200K")
    made.save(look)
    (tmp_path / "other").mkdir()
    options = ("--look", "filmic", "--exposure", "1", "--white-balance", "5200K")
    _, picture = by_command(photographs, tmp_path / "other", *options)
    assert made.picture.read_bytes() == picture
    assert "fused by" in made.report.read_text(encoding="utf-8")


def test_without_gradio_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "gradio", None)
    done = typer.testing.CliRunner().invoke(app, ["ui", "--no-browser"])
    assert done.exit_code == 2
    assert "pip install 'apnt[ui]'" in done.output


@pytest.fixture
def page(network: None) -> Iterator[Any]:
    pytest.importorskip("gradio", reason="Gradio is not installed")
    from apnt.ui.app import serve

    served = serve(SETTINGS, browser=False, wait=False)
    yield served
    served.close()


def mean_of(view: Any) -> float:
    """Mean level of the picture that the page shows."""
    shown = view.locator("img[alt=Picture], .image-frame img").first.screenshot()
    return float(np.asarray(Image.open(io.BytesIO(shown)).convert("L")).mean())


def saved(view: Any, name: str, folder: Path) -> Path:
    with view.expect_download(timeout=LONGEST) as download:
        view.get_by_text(name).click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def test_photographs_in_files_out(
    page: Any,
    visit: Callable[..., Any],
    screenshot: Callable[..., None],
    photographs: list[Path],
    tmp_path: Path,
) -> None:
    assert page.local_url.startswith("http://127.0.0.1:")
    assert page.share_url is None
    view = visit(page.local_url)
    view.set_default_timeout(LONGEST)
    view.get_by_role("button", name="Fuse").wait_for()
    screenshot(view, "ui-empty-1280")
    view.set_input_files("input[type=file]", [str(path) for path in photographs])
    view.get_by_text("short").first.wait_for()
    view.get_by_role("button", name="Fuse").click()
    view.locator(".image-frame img, img[alt=Picture]").first.wait_for()
    view.wait_for_timeout(500)
    screenshot(view, "ui-1280")

    (tmp_path / "command").mkdir()
    radiance, picture = by_command(photographs, tmp_path / "command")
    assert saved(view, "HDR image (.exr)", tmp_path).read_bytes() == radiance
    assert saved(view, "Picture (.jpg)", tmp_path).read_bytes() == picture
    report = saved(view, "Report (.html)", tmp_path)
    assert view.get_by_label("Share").count() == 0
    assert "What was decided" in report.read_text(encoding="utf-8")

    before = mean_of(view)
    view.locator("input[type=range]").first.focus()
    for _ in range(10):  # tenths of a stop
        view.keyboard.press("ArrowRight")
    (tmp_path / "brighter").mkdir()
    _, picture = by_command(photographs, tmp_path / "brighter", "--exposure", "1")
    for _ in range(60):
        view.wait_for_timeout(500)
        if saved(view, "Picture (.jpg)", tmp_path).read_bytes() == picture:
            break
    else:
        pytest.fail("the picture to download does not follow the slider")
    assert mean_of(view) > before + 15
    view.set_viewport_size({"width": 390, "height": 844})
    view.wait_for_timeout(500)
    assert view.evaluate("document.documentElement.scrollWidth") <= 390
    screenshot(view, "ui-390")


def test_what_cannot_be_fused_is_said(page: Any, visit: Callable[..., Any], photographs: list[Path]) -> None:
    view = visit(page.local_url)
    view.set_default_timeout(LONGEST)
    view.get_by_role("button", name="Fuse").click()
    view.get_by_text("drop 2 to 15 photographs").wait_for()
