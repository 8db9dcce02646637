"""Tiles: what they give is what the whole picture gives, however it is cut."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from apnt.bracket import Bracket
from apnt.errors import InputError
from apnt.methods.large import fuse_large
from apnt.nn import APNTConfig, APNTFusion, means, reach
from apnt.nn.boxes import Box, in_two, tiled, whole
from apnt.nn.domains import SHORT
from apnt.nn.features import MatchFeatures
from apnt.nn.tiled import Tiled, crop_of
from apnt.nn.tiled_match import TiledMatches
from apnt.nn.tiles import plan
from apnt.tonemap import mu_law

SMALL = APNTConfig(channels=(8, 12, 16), mef_blocks=2, radii=(1, 1, 2))
PHOTOGRAPHS = {
    "aligned": True, "subpixel": True, "reach": 64, "consistency": True, "merge": True, "confidence": True,
    "border": 8, "confidence_channels": 4,
}  # fmt: skip
TIMES = torch.tensor([[1.0, 4.0, 16.0]])
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


def moving(height: int, width: int) -> np.ndarray:
    """(3, H, W, 3) frames of a texture that moves by a few pixels."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, 3, height // 8 + 2, width // 8 + 2, generator=generator)
    light = F.interpolate(coarse, size=(height + 16, width + 16), mode="bilinear")[0]
    light = ((light + 0.3 * torch.rand(light.shape, generator=generator)) / 1.3) ** 3 * 0.3
    frames = [
        (light[:, y : y + height, x : x + width] * time).clamp(0, 1) ** (1 / 2.2)
        for (y, x), time in zip(((3, 5), (8, 8), (12, 6)), TIMES[0], strict=True)
    ]
    return torch.stack(frames).permute(0, 2, 3, 1).contiguous().numpy()


def network(**switches: object) -> APNTFusion:
    torch.manual_seed(1)
    made = APNTFusion(replace(SMALL, **switches)).eval()  # type: ignore[arg-type]
    torch.nn.init.normal_(made.fusion.head.weight, 0, 0.1)
    return made


def joined(picture: Tiled, side: int, match_side: int, encode_rows: int | None = None) -> torch.Tensor:
    out = torch.full((3, *picture.size), torch.nan)
    for part in picture.run(side, match_side, encode_rows=encode_rows):
        part.box.of(out).copy_(part.radiance)
    return out


@pytest.mark.parametrize(
    ("switches", "size"),
    [
        ({}, (101, 173)),
        ({"aligned": True}, (165, 140)),
        ({"aligned": True, "stride": 2}, (165, 229)),
        ({"aligned": True, "stride": 2, "border": 8}, (165, 229)),
        (PHOTOGRAPHS, (101, 173)),
        (PHOTOGRAPHS, (105, 177)),  # halves are no whole blocks
        ({**PHOTOGRAPHS, "propagate": True}, (101, 173)),
        ({"aligned": True, "stride": 2, "border": 8, "reach": 64, "propagate": True}, (165, 229)),
        ({"aligned": True, "match_levels": (0, 1), "propagate": True}, (165, 140)),
        ({"flow": True, "propagate": True}, (165, 240)),
        ({"aligned": True, "flow": True, "stride": 2, "border": 8, "reach": 64, "merge": True}, (165, 229)),
        ({"transfer": False}, (40, 333)),
        ({"match_levels": (0, 2), "aligned": True}, (333, 24)),
        ({"match_features": "encoder", "aligned": True}, (97, 140)),
    ],
    ids=str,
)
def test_tiles_give_what_the_whole_gives(switches: dict[str, object], size: tuple[int, int]) -> None:
    frames, made = moving(*size), network(**switches)
    picture = Tiled(made, crop_of(frames, CPU, made.config.border), TIMES, size)
    picture.prepare()
    tensor = torch.from_numpy(frames).permute(0, 3, 1, 2)[None].contiguous()
    untiled = mu_law(picture.network(tensor, TIMES)[0])
    for sides in ((64, 96), (1000, 1000), (64, 1000, 48)):
        assert (mu_law(joined(picture, *sides)) - untiled).abs().max() < 1e-3
        assert (picture.encoded is not None) == (len(sides) == 3)


@pytest.mark.parametrize("switches", [{"flow": True, "stride": 2, "aligned": True}, PHOTOGRAPHS], ids=str)
def test_tiles_in_half_precision_give_what_one_tile_gives(switches: dict[str, object]) -> None:
    """With the fractions of several rows of tiles, which are kept in float16."""
    size = (101, 173)
    made = network(**switches)
    with torch.autocast("cpu", torch.bfloat16):
        picture = Tiled(made, crop_of(moving(*size), CPU, made.config.border), TIMES, size)
        tiles, one = (mu_law(joined(picture, *sides)) for sides in ((48, 48), (1000, 1000)))
    # Sums in bfloat16 depend on a tile's size, and so do matches that are about equally good.
    assert (tiles - one).abs().mean() < 1e-3


@pytest.mark.parametrize("switches", [{"aligned": True, "stride": 2, "border": 8}, PHOTOGRAPHS], ids=str)
def test_a_picture_that_is_not_cut_gives_what_one_tile_gives(switches: dict[str, object]) -> None:
    size = (101, 173)
    made = network(**switches)
    picture = Tiled(made, crop_of(moving(*size), CPU, made.config.border), TIMES, size)
    whole_picture, (tile,) = picture.whole(), picture.run(1000, 1000, maps=True)
    assert whole_picture.box == tile.box == Box(0, 0, *size)
    assert whole_picture.last
    assert (mu_law(whole_picture.radiance) - mu_law(tile.radiance)).abs().max() < 1e-3
    for name, stack in tile.maps.items():
        for value, other in zip(stack, whole_picture.maps[name], strict=True):
            assert value.shape == other.shape, name
            # Of ties in flat places either match is right.
            assert (value.float() - other.float()).abs().gt(1e-3).float().mean() < 1e-3, name


def test_tiles_whose_matches_lie_far_away_are_cut() -> None:
    """As far as they can be, where nothing is near enough; the result stays, and each tile ends once."""
    size = (40, 40)
    picture = Tiled(network(), crop_of(moving(*size), CPU), TIMES, size)
    tiles, parts = list(picture.run(32, 32)), list(picture.run(32, 32, most=(1, 1)))
    uncut, cut = (torch.full((3, *size), torch.nan) for _ in range(2))
    for some, out in ((tiles, uncut), (parts, cut)):
        for part in some:
            part.box.of(out).copy_(part.radiance)
    assert (mu_law(cut) - mu_law(uncut)).abs().max() < 1e-3
    assert len(parts) > len(tiles) == sum(part.last for part in parts) > 1


def test_rows_of_matches_that_no_tile_needs_are_let_go() -> None:
    """Of bands that are needed in part, too; what is left stays what it was."""
    size, box = (96, 64), Box(44, 0, 96, 64)
    made = network(aligned=True)
    matches = TiledMatches(made, crop_of(moving(*size), CPU), TIMES, size, (32, 32))
    matches.reach_down(96)
    before = matches.get(SHORT, box)
    matches.forget(46)
    after = matches.get(SHORT, box)
    assert all(torch.equal(a, b) for a, b in zip(before.offsets, after.offsets, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(before.scores, after.scores, strict=True))
    for bands in matches.bands.values():
        assert [(band.top, band.bottom) for band in bands] == [(44, 64), (64, 96)]
        held = bands[0].match.offsets[0]
        assert held.untyped_storage().nbytes() == held.nbytes == 2 * 20 * 64 * held.element_size()


def test_a_margin_too_small_would_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check above sees margins that are too small."""
    monkeypatch.setattr(reach, "blend", lambda config: 0)
    monkeypatch.setattr(reach, "DECODER", 0)
    frames = moving(101, 173)
    picture = Tiled(network(), crop_of(frames, CPU), TIMES, (101, 173))
    picture.prepare()
    tensor = torch.from_numpy(frames).permute(0, 3, 1, 2)[None].contiguous()
    assert (mu_law(joined(picture, 64, 96)) - mu_law(picture.network(tensor, TIMES)[0])).abs().max() > 1e-3


def test_a_gradient_sky_has_no_seams() -> None:
    """Neighbours across a tile's edge differ as neighbours inside do."""
    height, width = 160, 232
    y, x = np.mgrid[:height, :width].astype(np.float32)
    sky = (0.02 + 0.2 * y / height + 0.02 * x / width)[..., None] * np.array([0.6, 0.8, 1.0], np.float32)
    frames = np.stack([np.minimum(sky * t, 1) ** np.float32(1 / 2.2) for t in (1, 4, 16)])
    picture = Tiled(network(aligned=True), crop_of(frames, CPU), TIMES, (height, width))
    joint, lefts = torch.full((3, height, width), torch.nan), {0}
    for part in picture.run(48, 64):
        part.box.of(joint).copy_(part.radiance)
        lefts.add(part.box.left)
    result, edges = mu_law(joint), sorted(lefts - {0})
    step = (result[..., 1:] - result[..., :-1]).abs().amax(dim=(0, 1))
    inside = [k for k in range(24, width - 24) if k + 1 not in edges]
    assert max(step[edge - 1] for edge in edges if 24 < edge < width - 24) <= 1.05 * step[inside].max() + 1e-6


def test_means_of_windows_stand_for_the_image() -> None:
    """Given means are taken in place of a tile's own, by a network apart, whose original stays."""
    made = network()
    x = torch.from_numpy(moving(64, 64)).permute(0, 3, 1, 2)[None]
    before = made(x, TIMES)
    apart = means.separate(made)
    assert all(a is b for a, b in zip(apart.parameters(), made.parameters(), strict=True))
    with means.seen(apart) as found:
        apart(x, TIMES)
    means.give(apart, found)
    # Of one window that is the image; rounded elsewhere, for a block's factors go to its filters.
    torch.testing.assert_close(apart(x, TIMES), before, rtol=0, atol=1e-5)
    assert not torch.equal(apart(x.flip(-3), TIMES), made(x.flip(-3), TIMES))
    assert torch.equal(made(x, TIMES), before)


@pytest.mark.parametrize("size", [(4000, 6000), (24, 8000), (5000, 32), (800, 1000)])
@pytest.mark.parametrize("stride", [1, 2])
def test_windows_lie_in_the_picture(size: tuple[int, int], stride: int) -> None:
    boxes = means.windows(size, stride)
    assert 1 <= len(boxes) <= 24
    for box in boxes:
        assert 0 <= box.top < box.bottom <= size[0]
        assert 0 <= box.left < box.right <= size[1]
        assert not any(side % (4 * stride) for side in box)


@pytest.mark.parametrize("size", [(8, 8), (40, 1000), (328, 88)])
def test_tiles_cover_each_pixel_once(size: tuple[int, int]) -> None:
    count = torch.zeros(size)
    for box in tiled(whole(size), 64, 8):
        assert box.height <= 64
        assert box.width <= 64
        box.of(count).add_(1)
    assert (count == 1).all()


@pytest.mark.parametrize("dilations", [(1, 2, 4, 8), (2, 5)])
def test_matching_features_see_no_farther_than_said(dilations: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    features = MatchFeatures(dilations=dilations).eval()
    image = torch.rand(1, 3, 256, 256)
    other = image.clone()
    other[..., 128, 128] += 1
    by = reach.matching_features(replace(SMALL, match_dilations=dilations))
    for k, (a, b) in enumerate(zip(features(image), features(other), strict=True)):
        rows = (a != b).any(dim=1)[0].nonzero() * 2**k
        assert (rows - 128).abs().max() <= by
    assert by <= 100  # and that is not said of the whole image


def test_boxes() -> None:
    box = Box(8, 16, 24, 40)
    assert box.grown(5, 8, (28, 100)) == Box(0, 8, 28, 48)
    offsets = torch.tensor([-3, 5])[None, :, None, None].expand(1, 2, 16, 24)
    assert box.moved(offsets) == Box(5, 16, 24, 45)
    assert box.at(4).times(4) == box
    assert in_two(box, 8) == [Box(8, 16, 24, 32), Box(8, 32, 24, 40)]
    assert in_two(Box(8, 16, 32, 24), 8) == [Box(8, 16, 24, 24), Box(24, 16, 32, 24)]
    assert in_two(Box(8, 16, 16, 24), 8) == [Box(8, 16, 16, 24)]
    assert Box(10, 20, 12, 22).of(torch.arange(900).reshape(30, 30), Box(9, 19, 39, 49)).tolist() == [
        [31, 32],
        [61, 62],
    ]


def test_a_budget_decides_the_tiles_and_one_too_small_is_told() -> None:
    config = APNTConfig(channels=(32, 48, 64), aligned=True)
    plans = [
        plan(config, (4000, 6000), budget, 10**9, 2, at_once=False) for budget in (15 * 10**8, 4 * 10**9)
    ]
    assert plans[0].tiles > plans[1].tiles > 1
    for made, budget in zip(plans, (15 * 10**8, 4 * 10**9), strict=True):
        assert 10**9 < made.memory <= budget
        assert made.work >= 1
    with pytest.raises(InputError, match=r"memory must be at least 1\.\d GB .* got 1\.0 GB"):
        plan(config, (4000, 6000), 10**9, 10**9, 2, at_once=False)


def test_maps_are_those_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """In tiles and whole, by the same means; the watch is told as many tiles as there are."""
    monkeypatch.setattr(means, "WHOLE", 10_000)
    monkeypatch.setattr("apnt.nn.tiles.LARGEST", 64)
    frames = moving(104, 173)
    bracket = Bracket("moving", frames, TIMES[0].double().numpy())
    told: list[object] = []

    class Watch:
        def planned(self, sentence: str, tiles: int, seconds: float) -> None:
            assert seconds > 0
            told.append((sentence, tiles))

        def tile(self) -> None:
            told.append(1)

    made = network(**PHOTOGRAPHS)
    image, maps = fuse_large(made, bracket, CPU, None, Watch(), maps=True)
    picture = Tiled(made, crop_of(frames, CPU, 8), TIMES, (104, 173))
    picture.prepare()
    tensor = torch.from_numpy(frames).permute(0, 3, 1, 2)[None].contiguous()
    untiled, seen = picture.network(tensor, TIMES, return_maps=True)
    assert np.abs(image - untiled[0].permute(1, 2, 0).numpy()).max() < 1e-3
    assert maps is not None
    assert maps.offset is not None
    assert np.array_equal(maps.offset, seen["offset"][0][0].permute(1, 2, 0).numpy())
    assert np.allclose(maps.saturation, seen["saturation"][-1][0].mean(dim=0).numpy(), atol=1e-5)
    sentence, tiles = told[0]  # type: ignore[misc]
    assert f"in {tiles} tiles" in sentence
    assert len(told) == 1 + tiles > 2


@pytest.mark.parametrize("size", [(5, 7), (40, 33)])
def test_what_lies_beyond_a_picture_is_reflected(size: tuple[int, int]) -> None:
    height, width = size
    frames = np.random.default_rng(0).random((3, height, width, 3), np.float32)
    wide = np.pad(frames, ((0, 0), (4, 4), (4, 4), (0, 0)), mode="reflect")
    crop = crop_of(frames, torch.device("cpu"), border=4)
    boxes = [Box(0, 0, height + 8, width + 8), Box(4, 4, height + 4, width + 4), Box(0, 2, 6, 3)]
    for box in [*boxes, Box(height + 5, 0, height + 8, width + 8), Box(2, width + 2, height, width + 8)]:
        wanted = wide[:, box.top : box.bottom, box.left : box.right].transpose(0, 3, 1, 2)
        assert np.array_equal(crop(box)[0].numpy(), wanted)
