"""Our network on a bracket of any size, within a memory budget."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from apnt import budget, scratch
from apnt.bracket import Bracket
from apnt.doing import doing
from apnt.memory import PLENTIFUL, SMALLER, explained, give_back, keeping_all
from apnt.methods.registry import Maps, Watch
from apnt.nn import APNTConfig, APNTFusion, means
from apnt.nn.tiled import Part, Tiled, crop_of
from apnt.nn.tiles import Plan, plan

_WHOLE = 16
"""Bytes a pixel that reading a photograph takes, and about as many what comes after the network."""
_PIXEL = 3 * 4  # bytes of the result's
_MAPS = 3 * 4 + 2 * 4 + 4  # and of the maps'


def fuse_large(
    model: APNTFusion,
    bracket: Bracket,
    device: torch.device,
    memory: int | None = None,
    watch: Watch | None = None,
    maps: bool = False,
) -> tuple[np.ndarray, Maps | None]:
    """(H, W, 3) float32 radiance in [0, 1], and what the network saw, where that is asked for.

    Args:
        model: in evaluation mode, where gradients are off.
        bracket: of three frames.
        device: of the network.
        memory, watch: see :class:`apnt.methods.Options`.
        maps: also give the maps.

    Raises:
        InputError: ``memory`` is too small.
        MemoryError: the system's is.
        FloatingPointError: the network returned NaN.
    """
    height, width = bracket.size
    at_once = height * width <= means.WHOLE
    with explained(_what(bracket, device), SMALLER):
        cut = None if at_once and memory is None else _plan(model, bracket, device, memory, at_once, maps)
        if not at_once:
            assert cut is not None
            plentiful = device.type == "cpu" and PLENTIFUL * cut.memory <= cut.budget
            with keeping_all(plentiful, cut.memory):
                return _in_tiles(model, bracket, device, cut, watch, maps)
    return fuse_at_once(model, bracket, device, maps)


def fuse_at_once(
    model: torch.nn.Module, bracket: Bracket, device: torch.device, maps: bool = False
) -> tuple[np.ndarray, Maps | None]:
    """The same of any network, which gets the whole picture.

    Args:
        model, bracket, device: see :func:`fuse_large`.
        maps: also give the maps, of a network that takes ``return_maps``.
    """
    with explained(_what(bracket, device), SMALLER):
        tensors = bracket.tensors(device)
        radiance, seen = model(*tensors, return_maps=True) if maps else (model(*tensors), None)
        image = checked(radiance[0].float().cpu()).clamp(0, 1).permute(1, 2, 0).contiguous().numpy()
        return image, None if seen is None else seen_maps(seen, getattr(model, "config", None))


def _what(bracket: Bracket, device: torch.device) -> str:
    """What asks for memory."""
    height, width = bracket.size
    return f"the network on {device}, for images of {width} x {height} pixels,"


def _plan(
    model: APNTFusion,
    bracket: Bracket,
    device: torch.device,
    memory: int | None,
    at_once: bool,
    maps: bool,
) -> Plan:
    height, width = bracket.size
    least = 0
    kept = height * width * (_PIXEL + (_MAPS if maps else 0))
    if device.type == "cuda":
        held = torch.cuda.memory_allocated(device)
        most = memory or held + int(0.9 * torch.cuda.mem_get_info(device)[0])
    else:
        held = scratch.held() + (0 if scratch.limited() else kept)
        most = memory or budget.usual()
        # The network reads files before its peak, and lets go of them; what comes after it reads on and on.
        least = height * width * _WHOLE + (scratch.HELD_AT_MOST if scratch.limited() else 0)
    item = 2 if torch.is_autocast_enabled(device.type) else 4
    return plan(model.config, bracket.size, most, held, item, at_once=at_once, least=least)


def _in_tiles(
    model: APNTFusion,
    bracket: Bracket,
    device: torch.device,
    cut: Plan,
    watch: Watch | None,
    maps: bool,
) -> tuple[np.ndarray, Maps | None]:
    height, width = bracket.size
    doing("Looking at the whole picture")
    picture = Tiled(
        model,
        crop_of(bracket.ldr, device, model.config.border),
        torch.from_numpy(bracket.times).to(device),
        (height, width),
    )
    seconds = picture.prepare() * height * width * cut.work
    if watch is not None:
        watch.planned(cut.sentence(seconds), cut.tiles, seconds)
    image = scratch.empty((height, width, 3), np.float32)
    gathered = _Gathered((height, width), model.config) if maps else None
    tiles = picture.run(cut.side, cut.match_side, maps=maps, most=cut.most, encode_rows=cut.encode_rows)
    for part in tiles if cut.tiles > 1 else [picture.whole()]:
        image[part.box.rows, part.box.columns] = checked(part.radiance.cpu()).permute(1, 2, 0).numpy()
        if gathered is not None:
            gathered.add(part)
        if watch is not None and part.last:
            watch.tile()
        scratch.let_go()
        give_back()
    return image, None if gathered is None else gathered.maps()


class _Gathered:
    """The maps of a picture, tile by tile.

    Args:
        size: height and width of the picture.
        config: of the network.
    """

    def __init__(self, size: tuple[int, int], config: APNTConfig) -> None:
        self.size, self.config = size, config
        self.found: dict[str, np.ndarray] = {}

    def add(self, part: Part) -> None:
        """Copy what a tile shows."""
        tile = seen_maps(part.maps, self.config)
        for name, step in (("motion", 0), ("saturation", 0), ("offset", 0), ("error", 1)):
            value = getattr(tile, name)
            if value is None:
                continue
            step = step or self.config.stride
            rows, columns = (-(-side // step) for side in self.size)
            top, left = part.box.top // step, part.box.left // step
            shape = (2, rows, columns) if name == "motion" else (rows, columns, *value.shape[2:])
            if name not in self.found:
                self.found[name] = scratch.empty(shape, value.dtype)
            out = self.found[name]
            if name == "motion":
                out[:, top : top + value.shape[1], left : left + value.shape[2]] = value
            else:
                out[top : top + value.shape[0], left : left + value.shape[1]] = value

    def maps(self) -> Maps:
        """Those of the picture."""
        offset = self.found.get("offset")
        reach = 0 if offset is None else search_reach(self.config, max(self.found["saturation"].shape))
        return Maps(self.found["motion"], self.found["saturation"], offset, reach, self.found.get("error"))


def checked(radiance: Tensor) -> Tensor:
    """The same, all of it finite.

    Raises:
        FloatingPointError: it is not.
    """
    if not torch.isfinite(radiance).all():
        raise FloatingPointError("the network returned NaN or infinity: try precision fp32, or other weights")
    return radiance


def seen_maps(maps: dict[str, list[Tensor]], config: APNTConfig | None) -> Maps:
    """What a network's ``return_maps`` gave, as pictures.

    Args:
        maps: of one bracket.
        config: of our network; None for another, of which it is not known how far it searches.
    """
    motion = [m[0].float().mean(dim=0).cpu().numpy() for m in maps["motion"]]
    saturation = maps["saturation"][-1][0].float().mean(dim=0).cpu().numpy()
    offset = maps["offset"][0][0].permute(1, 2, 0).cpu().numpy() if maps["offset"] else None
    error = maps["error"][0][0, 0].float().cpu().numpy() if maps.get("error") else None
    reach = 0 if offset is None or config is None else search_reach(config, max(saturation.shape))
    return Maps(np.stack(motion), saturation, offset, reach, error)


def search_reach(config: APNTConfig, longest: int) -> int:
    """Largest offset that the search can find, pixels; ``longest`` is the longer side of the match."""
    coarsest = max(config.match_levels)
    levels = [config.radii[2] if level == coarsest else config.radii[level] for level in config.match_levels]
    reach = sum(radius << level for radius, level in zip(levels, config.match_levels, strict=True))
    while config.reach and longest > config.reach:
        longest = -(-longest // 2)
        # Halved pictures are not searched at their finest level; two levels of the second radius follow.
        reach = 2 * (reach - config.radii[0]) + config.radii[1] * (2 + 4) + config.radii[0]
    return int(reach * config.stride)
