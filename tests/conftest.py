"""What several test files need: the backends of the ops, and radiance maps to train on."""

from __future__ import annotations

import base64
import dataclasses
import importlib
import importlib.util
import io
import os
import shutil
import zlib
from collections.abc import Callable, Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from apnt import _ext, testing
from apnt.ops import _backend

# After the dash: the instructions that the CPU kernels are held to.
CPP = (
    "cpp-portable",
    "cpp-avx2",
    "cpp-avx512",
    "cpp-avx512_bf16",
    "cpp-amx_bf16",
    "cpp-amx_bf16_emulated",
)
VARIANTS = ("reference", *CPP, "cuda-on-cpu", "cuda", "triton")


LONG = (
    "test_the_suite_passes_in_the_interpreter",
    "test_compiles_for_every_gpu_without_spills",
    "test_one_compilation_for_five_sizes",
    "test_program_of_all_options",
    "test_reach_is_a_branch_for_every_size",
    "test_a_planted_mistake_fails_the_suite",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first: of processes side by side none is left with one of them at the end."""
    items.sort(key=lambda item: item.name.partition("[")[0] not in LONG)


@pytest.fixture(scope="session", autouse=True)
def short_interpretation() -> None:
    """Half of what Triton's interpreter does is done over and over to no effect: once will do, or not at all.

    At every call of a function, 3.5 exchanges the functions of the language, which stay exchanged; and it
    looks for overflows, of which it says nothing but where ``debug`` is set.
    """
    if os.environ.get("TRITON_INTERPRET") != "1" or importlib.util.find_spec("triton") is None:
        return
    if not importlib.import_module("triton").__version__.startswith("3.5."):
        return
    interpreter = importlib.import_module("triton.runtime.interpreter")
    exchange, done = interpreter._patch_lang, set()

    def once(function: Any) -> None:
        if id(function.__globals__) not in done:
            exchange(function)
            done.add(id(function.__globals__))

    interpreter._patch_lang = once
    builder = interpreter.interpreter_builder
    assert not builder.options.debug
    builder.options = dataclasses.replace(builder.options, sanitize_overflow=False)


class PageReader(HTMLParser):
    """Tags, text and pictures of a page; every tag that opens must close, but those that are ``void``."""

    def __init__(self, page: str, void: Sequence[str] = ("meta", "img", "br")):
        super().__init__()
        self.void = void
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.text += data

    def images(self) -> dict[str, list[np.ndarray]]:
        images: dict[str, list[np.ndarray]] = {}
        for tag, attributes in self.found:
            source = attributes.get("src") or ""
            if tag == "img" and source:
                kind, data = source.split(",", 1)
                assert kind in ("data:image/jpeg;base64", "data:image/png;base64")
                picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
                images.setdefault(attributes["alt"] or "", []).append(picture)
        return images


@pytest.fixture(scope="session")
def page_reader() -> type[PageReader]:
    """Reads pages that tests have made."""
    return PageReader


@pytest.fixture(scope="session")
def maps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two radiance maps of 96x96 pixels with structure at several scales."""
    folder = tmp_path_factory.mktemp("maps")
    rng = np.random.default_rng(0)
    for index in range(2):
        image = np.ones((96, 96, 3), np.float32)
        for side in (4, 12, 48):
            grid = rng.gamma(0.7, 1.0, (side, side, 3)).astype(np.float32)
            image *= cv2.resize(grid, (96, 96), interpolation=cv2.INTER_LINEAR) + 0.1
        cv2.imwrite(str(folder / f"map{index}.hdr"), image)
    return folder


@pytest.fixture
def tiny_recipe(tmp_path: Path) -> Path:
    """A recipe of two steps each for features and network, of brackets of 32 pixels."""
    path = tmp_path / "recipe.toml"
    path.write_text("""\
[model]
channels = [8, 8, 8]
mef_blocks = 1
radii = [1, 1, 2]
match_dilations = [1, 2, 4, 8, 16]
[features]
steps = 2
batch = 1
crop = 32
[features.brackets]
shift = 2.0
rotation = 0.0
[network]
steps = 2
batch = 1
crop = 32
workers = 0
[network.brackets]
shift = 2.0
rotation = 0.0
""")
    return path


@pytest.fixture(scope="session")
def cuda_on_cpu() -> ModuleType:
    """tests/ops/cuda_on_cpu/build.py, its operators loaded; skipped with the reason where it cannot build."""
    path = Path(__file__).parent / "ops" / "cuda_on_cpu" / "build.py"
    spec = importlib.util.spec_from_file_location("cuda_on_cpu", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    reason = module.unavailable()
    if reason is not None:
        pytest.skip(reason)
    module.load()
    return module


def process_settings() -> dict[str, object]:
    """What a test may set for the whole process, and what the tests after it would then run under."""
    return {
        "deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
        "filling of new memory": torch.utils.deterministic.fill_uninitialized_memory,  # type: ignore[attr-defined]
        "gradients": torch.is_grad_enabled(),
        "default type": torch.get_default_dtype(),
        "oneDNN": torch.backends.mkldnn.enabled,
        "threads of PyTorch": torch.get_num_threads(),
        "threads of OpenCV": cv2.getNumThreads(),
        "folder": os.getcwd(),
    }


@pytest.fixture(autouse=True)
def settings_are_left_as_they_were() -> Iterator[None]:
    """A test that leaves a setting of the process changed fails itself, and not another one after it."""
    before = process_settings()
    yield
    assert process_settings() == before


@pytest.fixture
def deterministic() -> Iterator[None]:
    """Deterministic algorithms; PyTorch then fills new memory with NaN and the largest integer, too."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    assert torch.empty(9).isnan().all()
    yield
    torch.use_deterministic_algorithms(before)


@pytest.fixture
def tf32() -> Iterator[None]:
    """PyTorch may round float32 to TF32 in matrix products on GPUs."""
    matmul = torch.backends.cuda.matmul
    before = matmul.fp32_precision
    matmul.fp32_precision = "tf32"
    yield
    matmul.fp32_precision = before


@pytest.fixture
def hold_to(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Has the CPU kernels run one set of instructions; skips the test, with the reason, where they cannot."""

    def hold(instructions: str) -> None:
        monkeypatch.setenv("APNT_CPU_ISA", instructions)
        used = _ext.instruction_set()
        if used != instructions:
            pytest.skip(str(_ext.MISSING or used))

    return hold


@pytest.fixture(params=VARIANTS)
def backend(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, hold_to: Callable[[str], None]
) -> testing.Backend:
    """One implementation of both ops; skipped with the reason where it cannot run."""
    if request.param == "cuda-on-cpu":
        loaded = request.getfixturevalue("cuda_on_cpu").load()
        # Every test has an order of the threads of its own, and always the same one.
        loaded.set_schedule(zlib.crc32(request.node.nodeid.encode()))
        # For tensors on the CPU, as those of the C++ are; their checks and gradients are the same.
        monkeypatch.setattr(_backend, "namespace", lambda backend: "apnt_cuda_on_cpu")
        return testing.Backend("cpp")
    name, _, instructions = request.param.partition("-")
    reason = _backend.unavailable(name)
    if reason is not None:
        pytest.skip(reason)
    if instructions:
        hold_to(instructions)
    return testing.Backend(name)


NOT_OURS = (
    "GPU stall due to ReadPixels",  # Chromium's own, where the processor draws WebGL
    "Method not implemented.",  # Gradio's client says it whenever it closes a stream
)

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Callable[..., Any]]:
    """Starts a headless Chromium with further flags, once for each; skipped where there is none to drive."""
    api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    program = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if program is None:
        pytest.skip(f"none of {', '.join(CHROMIUM)} is installed")
    started: dict[tuple[str, ...], Any] = {}
    with api.sync_playwright() as playwright:

        def start(*flags: str) -> Any:
            if flags not in started:
                started[flags] = playwright.chromium.launch(
                    executable_path=program, args=["--force-color-profile=srgb", *flags]
                )
            return started[flags]

        yield start
        for browser in started.values():
            browser.close()


@pytest.fixture
def visit(chromium: Callable[..., Any]) -> Iterator[Callable[..., Any]]:
    """Opens a page; afterwards its console must be clean, and it must have asked no other machine."""
    contexts, wrong = [], []
    here = ("file:", "data:", "blob:", "http://127.0.0.1", "ws://127.0.0.1")

    def heard(message: Any) -> None:
        if not any(known in message.text for known in NOT_OURS):
            wrong.append(message.text)

    def open_page(address: str, *flags: str, width: int = 1280, height: int = 900) -> Any:
        context = chromium(*flags).new_context(viewport={"width": width, "height": height})
        contexts.append(context)
        page = context.new_page()
        page.on("console", heard)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda asked: asked.url.startswith(here) or wrong.append(asked.url))
        page.goto(address)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.fixture
def screenshot() -> Callable[[Any, str], None]:
    """Keeps a picture of a page for people to look at, in the folder that APNT_SCREENSHOTS names."""

    def keep(page: Any, name: str) -> None:
        folder = os.environ.get("APNT_SCREENSHOTS")
        if folder:
            page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)

    return keep
