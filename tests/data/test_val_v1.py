"""val-v1 is frozen: these numbers are the set."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from apnt.data.val_v1 import SCENES, find_folder, val_v1
from apnt.errors import InputError
from apnt.methods.medium import medium
from apnt.metrics import psnr_mu

# PSNR-mu of the medium exposure in dB, share of saturated pixels, share of moving pixels.
FROZEN = {
    "chinese_garden_0": (31.538, 0.1062, 0.1616),
    "chinese_garden_1": (29.746, 0.1572, 0.0954),
    "ilm_Bonita_0": (26.304, 0.219, 0.1207),
    "ilm_Bonita_1": (28.274, 0.301, 0.1926),
    "ilm_Cannon_0": (39.319, 0.1202, 0.086),
    "ilm_Cannon_1": (27.938, 0.1585, 0.2176),
    "ilm_Tree_0": (28.071, 0.1167, 0.1028),
    "ilm_Tree_1": (24.895, 0.216, 0.1802),
    "old_hall_0": (28.794, 0.1318, 0.2278),
    "old_hall_1": (26.479, 0.1939, 0.0627),
    "pedestrian_overpass_0": (36.073, 0.1011, 0.1565),
    "pedestrian_overpass_1": (28.265, 0.2729, 0.1141),
    "rainforest_trail_0": (30.131, 0.0645, 0.1547),
    "rainforest_trail_1": (28.954, 0.1222, 0.2102),
    "sepulchral_chapel_rotunda_0": (29.049, 0.2009, 0.1436),
    "sepulchral_chapel_rotunda_1": (27.658, 0.1784, 0.242),
    "spree_bank_0": (36.313, 0.2566, 0.1376),
    "spree_bank_1": (33.453, 0.1901, 0.0739),
    "st_fagans_interior_0": (26.922, 0.1076, 0.182),
    "st_fagans_interior_1": (31.903, 0.1504, 0.1561),
    "vintage_measuring_lab_0": (31.318, 0.1092, 0.1324),
    "vintage_measuring_lab_1": (26.574, 0.3155, 0.1972),
}


def folder() -> Path:
    named = Path(os.environ.get("APNT_DATA", Path(__file__).parents[3] / "shared" / "data"))
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
    for bracket in brackets:
        found = (psnr_mu(medium(bracket), bracket.truth), bracket.saturated.mean(), bracket.moving.mean())
        assert found == pytest.approx(FROZEN[bracket.name], abs=2e-3), bracket.name


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
