"""The plan of a large picture: the budget holds, and is used."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest
import torch

from apnt.device import has_bf16
from apnt.errors import InputError
from apnt.nn import APNTConfig
from apnt.nn.boxes import Box, tiled
from apnt.nn.tile_memory import ONCE, TileMemory
from apnt.nn.tiled import padded
from apnt.nn.tiles import plan

CONFIGS = {
    "default": APNTConfig(
        channels=(32, 48, 64), aligned=True, reach=528, border=8, match_features="learned", radii=(2, 2, 12)
    ),
    "fast": APNTConfig(
        channels=(24, 40, 64), aligned=True, stride=2, border=8, match_features="learned", radii=(2, 2, 8)
    ),
}
HELD = 300_000_000


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("item", [2, 4])
@pytest.mark.parametrize("size", [(4000, 6000), (6300, 9500), (9500, 2000)])
@pytest.mark.parametrize("budget", [2 * 10**9, 4 * 10**9])
def test_a_budget_is_used(name: str, item: int, size: tuple[int, int], budget: int) -> None:
    config = CONFIGS[name]
    made = plan(config, size, budget, HELD, item, at_once=False)
    picture, within = padded(size, config)
    assert made.memory <= budget
    if made.match_side == within and made.memory <= 0.85 * budget:
        # Matched whole, by few tiles: the next larger ones do not fit.
        assert made.memory > 0.75 * budget
        assert plan(config, size, 3 * budget // 2, HELD, item, at_once=False).memory > budget
    else:
        assert made.memory > 0.85 * budget
    tiles = list(tiled(picture, made.side, 4 * config.stride))
    assert len(tiles) == made.tiles > 1
    assert (max(t.height for t in tiles), max(t.width for t in tiles)) == made.side
    assert made.work <= plan(config, size, 3 * budget // 4, HELD, item, at_once=False).work


@pytest.mark.parametrize("name", CONFIGS)
def test_as_much_is_matched_at_once_as_the_budget_allows(name: str) -> None:
    config, size, work = replace(CONFIGS[name], flow=name == "default"), (4000, 6000), 9.0
    within = padded(size, config)[1]
    for budget in (10**9, 2 * 10**9, 4 * 10**9, 12 * 10**9, 40 * 10**9):
        made = plan(config, size, budget, HELD, 2, at_once=False)
        assert made.memory <= budget
        assert made.work <= work
        work = made.work
        if made.encode_rows is not None:  # beside it the match still fits whole
            matched = TileMemory(config, within, 2).matched(Box(0, 0, *within)).area
            assert made.most is not None
            assert made.most[1] >= matched
    assert made.encode_rows is not None or name == "fast"
    assert made.match_side == within
    assert max(made.side) <= 1536 * config.stride


@pytest.mark.parametrize("size", [(24, 20000), (20000, 24), (16, 40000)])
def test_narrow_pictures_are_cut_across(size: tuple[int, int]) -> None:
    made = plan(CONFIGS["default"], size, 10**9, HELD, 4, at_once=False)
    assert made.tiles > 1
    assert made.memory <= 10**9


def test_the_smallest_budget_that_is_named_works() -> None:
    config = CONFIGS["default"]
    with pytest.raises(InputError, match="memory must be at least ") as error:
        plan(config, (4000, 6000), HELD, HELD, 2, at_once=False)
    named = float(str(error.value).split("at least ")[1].split()[0])
    unit = 1e9 if " GB for" in str(error.value) else 1e6
    made = plan(config, (4000, 6000), int(named * unit), HELD, 2, at_once=False)
    assert made.memory <= named * unit


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone tells the peak of a part")
def test_parts_of_a_tile_take_what_is_planned() -> None:
    tile_memory = pytest.importorskip(
        "apnt.benchmarks.tile_memory",
        reason="the benchmarks are mapped into the package when it is installed",
    )
    precision, side = "bf16" if has_bf16(torch.device("cpu")) else "fp32", 320
    taken = tile_memory.taken("fast", precision, side)
    for part, pixel in tile_memory.planned("fast", precision).items():
        assert 0.5 * pixel * side**2 < taken[part] <= pixel * side**2 + ONCE
