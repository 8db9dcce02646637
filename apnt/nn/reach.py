"""How far each part of the network sees: what a tile needs around it."""

from __future__ import annotations

from apnt.nn.confidence import confidence_reach
from apnt.nn.config import APNTConfig
from apnt.nn.flow import CHOICE, REACH, SLACK
from apnt.nn.matching import FAR, NEAR

FEATURES = 2
"""Of the exposure features: two 3x3 convolutions. In pixels of the network, as all but :func:`align`."""
LOOK = FEATURES + 2
"""Of the motion attention, two more."""
# Blocks have two convolutions: two blocks see 4 pixels at each scale. Halving and doubling see one more.
ENCODER = (4 + 1) + 2 * (1 + 4 + 1) + 4 * (1 + 4)
DECODER = 4 * (4 + 1) + 2 * (1 + 4 + 1) + (1 + 4)
_LEARNED = 2 + 1 + 1 + 2 * (1 + 1 + 1) + 4 * (1 + 1)  # of MatchFeatures but for its dilations at 1/4
_VGG19 = 2 + 2 * 2 + 4


def blend(config: APNTConfig) -> int:
    """Of the fusion stream's output in what it is given: its heads, its blocks, and what is before them."""
    before = max(LOOK, 1, -(-2 // config.stride))  # features of aligned exposures, scale attention, 5x5 means
    head = confidence_reach(config.confidence_channels)  # at least that of the other one
    return 2 * config.mef_blocks + head + before + 1


def matching_features(config: APNTConfig) -> int:
    """Of the matching features in the pictures."""
    if config.match_features == "encoder":
        return LOOK + ENCODER
    return _LEARNED + 4 * sum(config.match_dilations) if config.match_features == "learned" else _VGG19


def search(config: APNTConfig, *, began: bool) -> int:
    """Of a match's candidates, with their patches, around where the search begins.

    Args:
        config: of the network.
        began: whether smaller pictures were searched before.
    """
    coarsest = max(config.match_levels)
    total = 0
    for level in config.match_levels:
        own_place = not began or config.propagate
        radius = config.radii[level if level != coarsest else (2 if own_place else 1)]
        total += radius << level
    return total + ((config.patch_size // 2 + 1) << coarsest)


def neighbours(config: APNTConfig) -> int:
    """Of a match, and of the flow, in the matches around it."""
    flow = 4 * (REACH + SLACK) + CHOICE if config.flow else 0
    if not config.propagate:
        return flow
    coarsest = max(config.match_levels)
    return flow + sum(sum(FAR if level == coarsest else NEAR) << level for level in config.match_levels)


def swap(config: APNTConfig) -> int:
    """Of patches around a match."""
    return (config.patch_size // 2 + 1) * 4


def align(config: APNTConfig) -> int:
    """Of an aligned exposure in offsets and exposures, around pixels and around matches, full-size pixels."""
    whole = config.patch_size // 2 + 2 * config.stride + 2
    # Means over 5x5 before, and in each of two steps of registration, where it also takes gradients.
    return whole + (2 + 2 * (2 + 2 + 1) + 4 if config.subpixel else 0)
