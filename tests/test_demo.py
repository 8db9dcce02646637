"""The demo's own work: its files, their EXIF, the comparison. The network is replaced by a plain merge."""

from __future__ import annotations

import numpy as np
import OpenEXR
import pytest
from PIL import Image

import apnt
from apnt import demo
from apnt.data.procedural import procedural_bracket
from apnt.errors import InputError
from apnt.io import read_exif, read_frames

HEIGHT, WIDTH = 96, 128


@pytest.fixture
def calls(monkeypatch):
    """Small frames, and a merge of short and medium in place of the network; the calls that it got."""
    got = []

    def merge(images, *, weights):
        frames = read_frames(images)
        got.append((list(images), weights, frames))
        linear = frames.ldr**2.2 / frames.times.astype(np.float32)[:, None, None, None]
        return np.where(frames.ldr[1] > 0.95, linear[0], linear[1])

    monkeypatch.setattr(apnt, "fuse", merge, raising=False)
    monkeypatch.setattr(demo, "procedural_bracket", lambda: procedural_bracket(0, HEIGHT, WIDTH))
    return got


def test_writes_everything_it_names(tmp_path, calls, capsys):
    out = tmp_path / "new" / "folder"
    paths = demo.make_demo(out, weights="some weights")

    assert set(paths) == {"short", "medium", "long", "hdr", "preview", "side_by_side"}
    assert sorted(out.iterdir()) == sorted(paths.values())
    printed = capsys.readouterr().out
    for path in paths.values():
        assert path.stat().st_size > 0
        assert str(path) in printed
    assert "medium exposure alone" in printed
    assert [weights for _, weights, _ in calls] == ["some weights"]


def test_photographs_carry_their_exposure(tmp_path, calls):
    paths = demo.make_demo(tmp_path)
    exposures = [read_exif(paths[name]) for name in ("short", "medium", "long")]
    assert [e.time for e in exposures] == pytest.approx([1 / 400, 1 / 100, 1 / 25])
    assert {(e.iso, e.f_number) for e in exposures} == {(100.0, 8.0)}

    images, _, frames = calls[0]
    assert images == [paths["short"], paths["medium"], paths["long"]]
    np.testing.assert_allclose(frames.times, [1, 4, 16])
    # The files show what the sensor recorded, but for JPEG.
    assert np.abs(frames.ldr - procedural_bracket(0, HEIGHT, WIDTH).ldr).mean() < 0.02


def test_exr_holds_what_was_fused(tmp_path, calls):
    paths = demo.make_demo(tmp_path)
    channels = OpenEXR.File(str(paths["hdr"]), separate_channels=True).channels()
    assert set(channels) == {"R", "G", "B"}
    frames = calls[0][2]
    linear = frames.ldr**2.2 / frames.times.astype(np.float32)[:, None, None, None]
    fused = np.where(frames.ldr[1] > 0.95, linear[0], linear[1])
    np.testing.assert_array_equal(
        np.stack([channels[c].pixels for c in "RGB"], axis=-1), fused.astype(np.float16)
    )


def test_side_by_side_compares_result_and_truth_by_one_curve(tmp_path, calls):
    paths = demo.make_demo(tmp_path)
    with Image.open(paths["side_by_side"]) as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(float)
    assert pixels.shape[1] == 2 * WIDTH
    thirds = round(2 * WIDTH / 3 * HEIGHT / WIDTH)
    row = pixels[thirds : thirds + HEIGHT]
    fused, truth = row[:, :WIDTH], row[:, WIDTH:]
    # Below the labels and outside the window, where the merge is the truth.
    assert np.abs(fused - truth)[-HEIGHT // 6 :].mean() < 8
    assert truth.std() > 20


def test_again_replaces_the_files(tmp_path, calls):
    demo.make_demo(tmp_path)
    before = sorted(tmp_path.iterdir())
    demo.make_demo(tmp_path)
    assert sorted(tmp_path.iterdir()) == before


def test_files_are_refused_without_force(tmp_path, calls):
    (tmp_path / "preview.jpg").write_bytes(b"mine")
    with pytest.raises(InputError, match=r"must be a new file, and .*preview.jpg exists"):
        demo.make_demo(tmp_path, force=False)
    assert [path.name for path in tmp_path.iterdir()] == ["preview.jpg"]
    assert calls == []


def test_out_must_be_a_folder(tmp_path, calls):
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(InputError, match="out must be a folder"):
        demo.make_demo(file)
    assert file.read_text() == "mine"
    assert calls == []
