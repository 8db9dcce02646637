"""val-v1 is frozen: these numbers are the set."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from apnt.data.val_v1 import SCENES, find_folder, val_v1
from apnt.errors import InputError
from apnt.metrics import psnr_mu


def folder() -> Path:
    named = Path(os.environ.get("APNT_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not (named / "hdr" / "val").is_dir():
        pytest.skip(f"the radiance maps of val-v1 are not in {named}")
    return named


def test_the_set_is_what_it_was() -> None:
    brackets = list(val_v1(folder()))
    assert len(brackets) == 22 == len({b.name for b in brackets})
    assert all(b.ldr.shape == (3, 384, 512, 3) for b in brackets)
    moved = [np.abs(b.motion[~b.moving]).max() > 0.5 for b in brackets]
    assert sum(moved) == 11
    assert sorted({tuple(b.times) for b in brackets}) == [(1, 4, 16), (1, 8, 64)]
    medium = [psnr_mu(np.clip(b.ldr[1] ** 2.2 / b.times[1], 0, 1), b.truth) for b in brackets]
    assert np.mean(medium) == pytest.approx(29.91, abs=0.01)
    assert np.mean([b.saturated.mean() for b in brackets]) == pytest.approx(0.1723, abs=1e-3)


def test_missing_data_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("APNT_DATA", raising=False)
    with pytest.raises(InputError, match="give --data or set APNT_DATA"):
        next(val_v1())
    with pytest.raises(InputError, match=next(iter(SCENES))):
        next(val_v1(tmp_path))


def test_another_version_of_a_map_is_warned_of(tmp_path: Path) -> None:
    for name in SCENES:
        (tmp_path / name).write_bytes(b"another")
    with pytest.warns(UserWarning, match="not the file that val-v1 was frozen with"):
        assert find_folder(tmp_path) == tmp_path
