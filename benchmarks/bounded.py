"""What ``bounded`` gives: results that are nowhere darker than what saturates the medium exposure.

    python benchmarks/bounded.py --data DIR [--set val-v2] [--weights default --weights fast]

Gain in PSNR-mu over the same result without it: the mean over the brackets, the least and the most; of all
pixels, and of moving saturated ones.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from apnt.evaluate.protocols import pixel_masks
from apnt.evaluate.sets import load_set
from apnt.evaluate.tables import as_markdown
from apnt.metrics import psnr_mu
from apnt.nn import APNTFusion
from apnt.nn.domains import MEDIUM, raised, saturation_level, to_radiance


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path)
    parser.add_argument("--set", dest="name", default="val-v2")
    parser.add_argument("--weights", action="append")
    chosen = parser.parse_args()
    rows = [["dB, mean (least to most)", "all pixels", "moving saturated"]]
    for weights in chosen.weights or ["default", "fast"]:
        network = APNTFusion.from_pretrained(weights)
        network.config = replace(network.config, bounded=False)
        gains: dict[str, list[float]] = {"all": [], "moving saturated": []}
        for bracket in load_set(chosen.name, chosen.data)[0]:
            assert bracket.truth is not None
            ldr, times = bracket.tensors(torch.device("cpu"))
            times = times / times.amin(dim=1, keepdim=True)
            with torch.inference_mode():
                free = network(ldr, times)
                medium = to_radiance(ldr, times)[:, MEDIUM]
                bounded = raised(free, medium, saturation_level(times, MEDIUM))
            before, after = (image[0].permute(1, 2, 0).numpy() for image in (free, bounded))
            for pixels, found in gains.items():
                mask = pixel_masks(bracket)[pixels]
                if mask is None or mask.any():
                    found.append(psnr_mu(after, bracket.truth, mask) - psnr_mu(before, bracket.truth, mask))
        rows.append(
            [weights, *(f"{np.mean(g):+.3f} ({min(g):+.3f} to {max(g):+.3f})" for g in gains.values())]
        )
    print(chosen.name, as_markdown(rows), sep="\n\n")


if __name__ == "__main__":
    main()
