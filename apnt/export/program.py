"""A network as a program of ``torch.export``: one graph for all sizes."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from apnt import _ext
from apnt.errors import InputError
from apnt.nn import APNTFusion
from apnt.nn.halving import sides

PRECISIONS = ("fp32", "bf16")


class _InBf16(nn.Module):
    """The network with ``torch.autocast`` as part of it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, ldr: Tensor, times: Tensor) -> Tensor:
        with torch.autocast(ldr.device.type, torch.bfloat16):
            return self.network(ldr, times)


def to_program(
    network: APNTFusion, *, precision: str = "fp32", longest: int | None = None
) -> ExportedProgram:
    """Export a network in evaluation mode, for one bracket of any height and width.

    Args:
        network: on the CPU, with float32 weights.
        precision: ``"fp32"``, or ``"bf16"``: ``torch.autocast`` becomes part of the graph.
        longest: pixels, the longest side that the program takes; None = 16384. A network with
            ``config.reach`` has one more branch each time this doubles, and takes no side shorter than
            :func:`apnt.nn.halving.sides` says.

    Returns:
        The program, from ``ldr`` (1, 3, 3, H, W) and ``times`` (1, 3), float32, to radiance (1, 3, H, W).

    Raises:
        InputError: a precision or size that cannot be, or operators that are not there.
    """
    if precision not in PRECISIONS:
        raise InputError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
    if not _ext.LOADED:
        raise InputError(f"export needs the compiled operators: {_ext.MISSING}")
    shortest, most = sides(network.config, longest)
    # Channels last leave conditions on the width in a graph, that no size fails and no exporter can prove.
    own = deepcopy(network).to(memory_format=torch.contiguous_format).eval()  # type: ignore[call-overload]
    own.longest = most
    module = own if precision == "fp32" else _InBf16(own)
    # Sides that differ: equal ones could become one size of the graph.
    height = min(max(shortest, 40), most - 8)
    inputs = torch.rand(1, 3, 3, height, height + 8), torch.tensor([[1.0, 4.0, 16.0]])
    shape = {3: Dim("height", min=shortest, max=most), 4: Dim("width", min=shortest, max=most)}
    with torch.no_grad():
        return torch.export.export(module, inputs, dynamic_shapes={"ldr": shape, "times": None})
