"""What the encoder makes of a large picture, made once: tiles swap patches in from anywhere."""

from __future__ import annotations

import torch
from torch import Tensor

from apnt.memory import give_back
from apnt.nn import reach
from apnt.nn.apnt import APNTFusion
from apnt.nn.boxes import Box, cuts
from apnt.nn.tiled_match import Crop


class EncodedPicture:
    """The encoder's features of a whole picture, made in bands of rows.

    Args:
        network: in evaluation mode.
        crop: the exposures.
        times: (1, 3) relative.
        size: height and width in pixels of the network, whole blocks of 4.
        rows: of a band, at most.
    """

    def __init__(
        self, network: APNTFusion, crop: Crop, times: Tensor, size: tuple[int, int], rows: int
    ) -> None:
        self.scales: list[Tensor] = []
        for top, bottom in cuts(0, size[0], rows, 4):
            core = Box(top, 0, bottom, size[1])
            box = encoded_from(core, size)
            found = network._encode(network._look(crop(box.times(network.config.stride)), times))
            for k, features in enumerate(found):
                if len(self.scales) == k:
                    shape = (*features.shape[:2], size[0] >> k, size[1] >> k)
                    last, device = torch.channels_last, features.device
                    whole = torch.empty(shape, dtype=features.dtype, device=device, memory_format=last)
                    self.scales.append(whole)
                own = core.at(1 << k)
                own.of(self.scales[k]).copy_(own.of(features, box.at(1 << k)))
            del found, features
            give_back()

    def of(self, box: Box) -> list[Tensor]:
        """Copies of what lies in a box, at each scale."""
        return [box.at(1 << k).of(x).clone() for k, x in enumerate(self.scales)]


def encoded_from(box: Box, size: tuple[int, int]) -> Box:
    """What of a picture of ``size`` the encoder's features in a box depend on; pixels of the network."""
    return box.grown(reach.ENCODER + reach.LOOK, 4, size)
