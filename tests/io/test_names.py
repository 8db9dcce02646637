"""Names that are no UTF-8: on Linux any bytes are a name, and libraries take text."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from apnt.io import files, rgbe
from apnt.io.names import as_text
from apnt.io.radiance import read_radiance, write_radiance

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="names are text on other systems")

NO_TEXT = "a\udcff"
"""What Python makes of the bytes 61 FF."""


@pytest.mark.parametrize(
    "name", ["a.hdr", "ä\n.hdr", f"{NO_TEXT}.hdr", f"{NO_TEXT}/a.hdr", f"{NO_TEXT}/{NO_TEXT}"]
)
def test_a_name_in_utf8(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"old")
    with as_text(path) as text:
        text.encode()
        assert Path(text).read_bytes() == b"old"
        Path(text).write_bytes(b"new")
        if NO_TEXT not in path.name:
            assert text.endswith(path.name)  # encoders look at the suffix
    assert path.read_bytes() == b"new"
    assert (text == str(path)) == (NO_TEXT not in name)


@pytest.mark.parametrize("suffix", [".exr", ".hdr"])
@pytest.mark.parametrize("place", [NO_TEXT, f"{NO_TEXT}/a"])
def test_radiance_maps(tmp_path: Path, place: str, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for function in ("imread", "imwrite"):  # OpenCV must not see such a name: the guard is what is tested
        whole = getattr(rgbe.cv2, function)

        def guarded(name: str, *rest: object, whole=whole) -> object:
            name.encode()
            return whole(name, *rest)

        monkeypatch.setattr(rgbe.cv2, function, guarded)
    path = tmp_path / f"{place}{suffix}"
    path.parent.mkdir(exist_ok=True)
    image = np.full((8, 9, 3), 0.5, np.float32)
    write_radiance(path, image)
    np.testing.assert_array_equal(read_radiance(path), image)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_weights(tmp_path: Path) -> None:
    import torch

    from apnt import APNTFusion
    from apnt.nn import APNTConfig

    path = tmp_path / f"{NO_TEXT}.safetensors"
    network = APNTFusion(APNTConfig(channels=(2, 2, 2), mef_blocks=1, reduction=2))
    network.save(path)
    again = APNTFusion.from_pretrained(path).state_dict()
    assert all(torch.equal(value, again[key]) for key, value in network.state_dict().items())


def test_text_that_names_such_a_file(tmp_path: Path) -> None:
    files.write_text(tmp_path / "a", f"ä {NO_TEXT}")
    assert (tmp_path / "a").read_text(encoding="utf-8") == "ä a\\udcff"
