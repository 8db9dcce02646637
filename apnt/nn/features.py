"""The matching features Psi_l: VGG19's, or those of a network trained for correspondence."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from apnt.errors import InputError
from apnt.nn.blocks import add_resized, relu
from apnt.nn.convolution import Convolution, Layers
from apnt.nn.flow import MatchFlow
from apnt.nn.rows import by_rows


class MatchFeatures(nn.Module):
    """A feature pyramid trained for correspondence between a masked short and a medium exposure.

    It has three scales, 1, 1/2 and 1/4. The coarsest uses dilated convolutions: a saturated area is uniform,
    and only its surroundings identify a place in it. Each finer scale receives the coarser one.

    Args:
        channels: at full, half and quarter size.
        dilations: of the convolutions at quarter size.
        flow: with :class:`MatchFlow`, which belongs to what is matched.

    Shape: ``(N, 3, H, W)`` display-range RGB in [0, 1], H and W multiples of 4, to
    ``[(N, c0, H, W), (N, c1, H/2, W/2), (N, c2, H/4, W/4)]``; without ``full`` the first has no channels.
    """

    def __init__(
        self,
        channels: tuple[int, int, int] = (16, 32, 64),
        dilations: tuple[int, ...] = (1, 2, 4, 8),
        flow: bool = False,
    ):
        super().__init__()
        c0, c1, c2 = channels
        self.stem = Layers(_exact(3, c0), relu(), _exact(c0, c0), relu())
        self.down1 = nn.Sequential(_conv(c0, c1, stride=2), relu(), _exact(c1, c1), relu())
        self.down2 = nn.Sequential(_conv(c1, c2, stride=2), relu())
        self.context = nn.ModuleList([_conv(c2, c2, dilation=d) for d in dilations])
        self.head2 = _exact(c2, c2)
        self.lateral1, self.head1 = _exact(c2, c1, 1), _exact(c1, c1)
        self.lateral0, self.head0 = _exact(c1, c0, 1), _exact(c0, c0)
        if flow:
            self.flow = MatchFlow(c2)

    def forward(self, image: Tensor, full: bool = True) -> list[Tensor]:
        e0 = self.stem(2 * image - 1)
        e1 = self.down1(e0)
        e2 = self.down2(e1)
        for conv in self.context:
            e2 = F.relu(conv(e2), inplace=True).add(e2)
        e1 = add_resized(self.lateral1(e2), e1)
        # Of each scale the memory goes when its head has read it.
        if full:
            e0 = add_resized(self.lateral0(e1), e0)
            fine = by_rows(self.head0, [e0], 1, e0.shape[1])
        else:
            fine = e0.new_empty((e0.shape[0], 0, *e0.shape[2:]))
        del e0
        middle = by_rows(self.head1, [e1], 1, e1.shape[1])
        del e1
        return [fine, middle, by_rows(self.head2, [e2], 1, e2.shape[1])]


class VGG19Features(nn.Module):
    """The paper's Psi_l: VGG19's relu1_1 (64 channels), relu2_1 (128, 1/2) and relu3_1 (256, 1/4), frozen.

    Shapes as :class:`MatchFeatures`, always all of them. The weights are not part of this package:
    :mod:`apnt.nn.vgg` downloads them, and :meth:`load_vgg19` loads them. Before they are loaded, from there
    or with a checkpoint, forward raises an InputError.
    """

    CONVOLUTIONS = ((0, 3, 64), (2, 64, 64), (5, 64, 128), (7, 128, 128), (10, 128, 256))
    """(index in torchvision's ``vgg19().features``, input channels, output channels)."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList([_conv(i, o) for _, i, o in self.CONVOLUTIONS])
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406])[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225])[:, None, None], persistent=False)
        self.requires_grad_(False)
        self.loaded = False
        self.register_load_state_dict_post_hook(lambda module, _: setattr(module, "loaded", True))

    def load_vgg19(self, state: dict[str, Tensor]) -> None:
        """Load the five convolutions from a state dict with torchvision's names, ``features.0.bias`` etc."""
        own = {}
        for position, (index, _, _) in enumerate(self.CONVOLUTIONS):
            for kind in ("weight", "bias"):
                own[f"convs.{position}.{kind}"] = state[f"features.{index}.{kind}"]
        self.load_state_dict(own)

    def forward(self, image: Tensor, full: bool = True) -> list[Tensor]:
        if not self.loaded:
            raise InputError(
                "match_features='vgg19' needs VGG19's weights: call load_vgg19(apnt.nn.vgg.vgg19_state())"
            )
        x = (image - self.mean) / self.std
        relu1_1 = F.relu(self.convs[0](x))
        x = F.max_pool2d(F.relu(self.convs[1](relu1_1)), 2)
        relu2_1 = F.relu(self.convs[2](x))
        x = F.max_pool2d(F.relu(self.convs[3](relu2_1)), 2)
        return [relu1_1, relu2_1, F.relu(self.convs[4](x))]


def dilated(state: Mapping[str, Tensor]) -> int:
    """How many dilated convolutions the weights of :class:`MatchFeatures` have; 0 = they are not its."""
    return len({name.split(".")[1] for name in state if name.startswith("context.")})


def _conv(inputs: int, outputs: int, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride=stride, padding=dilation, dilation=dilation)


def _exact(inputs: int, outputs: int, side: int = 3) -> Convolution:
    """For matches: of equal patches, as in saturated areas, the nearest has to win, whatever is rounded."""
    return Convolution(inputs, outputs, side, exact=True)
