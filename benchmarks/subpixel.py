"""What finds fractions of a pixel: on the brackets of val-v1 whose camera moved by fractions.

    python benchmarks/subpixel.py --data DIR

For each way to go on from the packaged network's whole offsets: the distance of an offset from the true
motion, and the PSNR-mu of the moved short frame against the truth, over those pixels whose whole offset is
right to one pixel, and which neither frame has saturated; means over brackets.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from apnt.camera import GAMMA, SATURATION
from apnt.data.val_v1 import val_v1
from apnt.nn import APNTFusion, domains
from apnt.nn.matching import progressive_match
from apnt.nn.subpixel import average_alike, register, resample
from apnt.ops.subpixel import parabola
from apnt.tonemap import mu_law


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, help="folder with the radiance maps of val-v1 (default: APNT_DATA)"
    )
    options = parser.parse_args()
    network = APNTFusion.from_pretrained("default")
    found: dict[str, list[tuple[float, float, float]]] = {}
    for bracket in val_v1(options.data):
        motion = torch.from_numpy(bracket.motion).permute(2, 0, 1)[None]  # (1, 2, H, W)
        if torch.equal(motion, motion.round()):
            continue
        ldr, times = bracket.tensors()
        radiance = domains.to_radiance(ldr, times)
        level = domains.saturation_level(times, domains.MEDIUM)
        assert bracket.truth is not None
        truth = mu_law(torch.from_numpy(bracket.truth).permute(2, 0, 1)[None])
        whole, ways = offsets(network, radiance, level, motion)
        right = torch.from_numpy(bracket.visible)[None] & ((whole - motion).abs().amax(dim=1) <= 1)
        right &= (ldr[:, :2] < SATURATION).all(dim=2).all(dim=1)
        for name, offset in ways.items():
            distance = (offset - motion).norm(dim=1)[right]
            moved = mu_law(resample(ldr[:, domains.SHORT], offset).clamp(0, 1) ** GAMMA)
            error = (moved - truth).square().mean(dim=1)[right].mean()
            found.setdefault(name, []).append(
                (float(distance.mean()), float(distance.median()), float(-10 * error.log10()))
            )
    table = Table("offsets", "distance, mean", "median", "PSNR-mu of the moved frame")
    for name, rows in found.items():
        mean, median, psnr = np.mean(rows, axis=0)
        table.add_row(name, f"{mean:.3f}", f"{median:.3f}", f"{psnr:.2f}")
    Console().print(table)
    print(f"{len(found['whole'])} brackets")


def offsets(
    network: APNTFusion, radiance: Tensor, level: Tensor, motion: Tensor
) -> tuple[Tensor, dict[str, Tensor]]:
    """Whole offsets (1, 2, H, W) from the medium to the short frame, and by name what is made of them."""
    masked = [domains.ms_hdr(radiance[:, k], level) for k in (domains.SHORT, domains.MEDIUM)]
    source, target = (domains.to_display(picture, level) for picture in masked)
    pyramids = network.match_features(source), network.match_features(target)
    config = network.config
    match = progressive_match(*pyramids, radii=config.radii, normalize=config.normalize)
    whole = match.offsets[0].float()
    fraction = whole + parabola(pyramids[0][0], pyramids[1][0], match.offsets[0])
    averaged = average_alike(fraction)
    ways = {"whole": whole, "parabola": fraction, "parabola, averaged": averaged}
    for steps in (1, 2, 3):
        ways[f"registered, {steps}"] = register(source, target, averaged, steps=steps)
    ways["whole, averaged, registered, 2"] = register(source, target, average_alike(whole), steps=2)
    return whole, {**ways, "truth": motion}


if __name__ == "__main__":
    main()
