"""A whole file of every kind that is read, and what reads it."""

from __future__ import annotations

import importlib.util
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

TESTS = Path(__file__).resolve().parents[1]
PHOTOGRAPHS = (
    "JPEG", "PNG", "WEBP", "BMP", "AVIF", "JPEG2000", "png 16", "tiff", "tiff lzw", "tiff zstd", "tiff lerc",
    "jxl", "jp2 16", "heic", "dng linear", "dng mosaic",
)  # fmt: skip


@dataclass(frozen=True)
class Sample:
    """Attributes:
    kind: of the file.
    name: that it has on disk.
    content: whole and right.
    read: reads the file at a path; returns an array, or None.
    whole: the file is one that is read; False where a right one would be too large.
    """

    kind: str
    name: str
    content: bytes
    read: Callable[[Path], Any]
    whole: bool = True


def samples() -> list[Sample]:
    """Of every kind that the installed packages write."""
    found = [*_photographs(), *_radiance(), *_networks(), *_texts()]
    return [sample for sample in found if sample is not None]


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"torture_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _photographs() -> list[Sample | None]:
    import _pytest.outcomes

    from apnt.io.photo import read_photograph

    damage, conftest = _load(TESTS / "io" / "test_damage.py"), _load(TESTS / "io" / "conftest.py")
    y, x = np.mgrid[0:60, 0:84] / np.array([59, 83])[:, None, None]
    picture = np.stack([x, y**1.3, 0.5 + 0.5 * np.sin(3 * x + 2 * y)], axis=-1)

    def sample(kind: str) -> Sample | None:
        try:
            with tempfile.TemporaryDirectory() as folder:
                content = damage.encoded(kind, picture, conftest.Camera(), Path(folder))
        except _pytest.outcomes.Skipped:  # a package that is not installed
            return None
        return Sample(kind, "a", content, lambda path: read_photograph(path).pixels)

    return [sample(kind) for kind in PHOTOGRAPHS]


def _radiance() -> list[Sample]:
    import OpenEXR

    from apnt.io.radiance import read_radiance

    rng = np.random.default_rng(0)
    image = rng.gamma(0.5, 1.0, (48, 64, 3)).astype(np.float32)
    found = []
    with tempfile.TemporaryDirectory() as folder:
        import cv2

        path = Path(folder) / "a.hdr"
        cv2.imwrite(str(path), image)
        found.append(Sample("radiance map .hdr", path.name, path.read_bytes(), read_radiance))
        for name in ("NO", "RLE", "ZIP", "PIZ", "PXR24", "B44", "DWAA"):
            path = Path(folder) / "a.exr"
            compression = getattr(OpenEXR, f"{name}_COMPRESSION")
            header = {"compression": compression, "type": OpenEXR.scanlineimage}
            OpenEXR.File(header, {"RGB": image.astype(np.float16)}).write(str(path))
            found.append(Sample(f"OpenEXR {name}", path.name, path.read_bytes(), read_radiance))
    return found


def _networks() -> list[Sample]:
    import torch

    from apnt import APNTFusion
    from apnt.nn import APNTConfig
    from apnt.nn.vgg import KEYS, vgg19_state
    from apnt.train.state import read_state, write_state

    found = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.safetensors"
        APNTFusion(APNTConfig(channels=(2, 2, 2), mef_blocks=1, reduction=2)).save(path)

        def load(path: Path) -> None:
            APNTFusion.from_pretrained(path)

        found.append(Sample("checkpoint", path.name, path.read_bytes(), load))
        path = Path(folder) / "a.pth"
        torch.save({key: torch.zeros(2) for key in KEYS}, path)  # small; never whole, always a sentence

        def vgg(path: Path) -> None:
            vgg19_state(path)

        found.append(Sample("VGG19 .pth", path.name, path.read_bytes(), vgg, whole=False))
        path = Path(folder) / "a.npz"
        np.savez_compressed(path, **{key: np.zeros(2, np.float32) for key in KEYS})
        found.append(Sample("VGG19 .npz", path.name, path.read_bytes(), vgg, whole=False))
        path = Path(folder) / "a.pt"
        write_state(path, {"identity": {"a": "1"}, "network": {"w": torch.zeros(3)}, "step": 3})

        def state(path: Path) -> None:
            read_state(path.read_bytes(), path, {"a": "1"})

        found.append(Sample("training state", path.name, path.read_bytes(), state))
    return found


def _texts() -> list[Sample]:
    from apnt.io.folder import find_photographs
    from apnt.train.recipe import read_recipe

    listing = {"files_short_to_long": ["a.png", "b.png"], "ev_stops": [0.0, 2.0]}

    def sidecar(path: Path) -> None:
        find_photographs([path.parent])

    recipe = (TESTS.parent / "configs" / "default.toml").read_bytes()

    def toml(path: Path) -> None:
        read_recipe(path)

    return [
        Sample("bracket.json", "bracket.json", json.dumps(listing).encode(), sidecar),
        Sample("recipe .toml", "a.toml", recipe, toml),
    ]
