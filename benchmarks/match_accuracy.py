"""How often the match is right, on val-v1, whose motion is known.

    python benchmarks/match_accuracy.py --data DIR [--vgg19 FILE] [--features FILE]

Prints, for each kind of matching features with and without MS-HDR, the share of visible pixels whose offset
lies within one pixel (full size) of the truth: inside saturated areas of the medium exposure, and elsewhere,
on all brackets; and the packaged features with neighbours' matches tried too (``propagate``). Features of a
file are taken to be dilated by 1, 2, 4 and so on.
"""

from __future__ import annotations

import argparse
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from safetensors.torch import load_file

from apnt.data.val_v1 import val_v1
from apnt.nn import APNTFusion, domains
from apnt.nn.features import MatchFeatures, VGG19Features, dilated
from apnt.nn.matching import progressive_match
from apnt.nn.vgg import vgg19_state


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, help="folder with the radiance maps of val-v1 (default: APNT_DATA)"
    )
    parser.add_argument("--vgg19", type=Path, help="VGG19's weights; leave out to compare without them")
    parser.add_argument("--features", type=Path, help="matching features; default: the packaged ones")
    parser.add_argument("--limit", type=int, help="stop after this many brackets")
    options = parser.parse_args()

    learned = APNTFusion.from_pretrained("default").match_features
    if options.features:
        state = load_file(options.features)
        flow = any(name.startswith("flow.") for name in state)
        learned = MatchFeatures(dilations=tuple(1 << k for k in range(dilated(state))), flow=flow)
        learned.load_state_dict(state)
    kinds = {"packaged": (learned, False), "packaged, propagated": (learned, True)}
    if options.vgg19:
        vgg19 = VGG19Features()
        vgg19.load_vgg19(vgg19_state(options.vgg19))
        kinds["VGG19"] = (vgg19, False)

    hits: dict[tuple[str, bool], list[list[np.ndarray]]] = {}
    for bracket in islice(val_v1(options.data), options.limit):
        ldr, times = bracket.tensors()
        radiance = domains.to_radiance(ldr, times)
        level = domains.saturation_level(times, domains.MEDIUM)
        for name, (features, propagate) in kinds.items():
            for masked in (True, False):
                pictures = [
                    domains.to_display(
                        domains.ms_hdr(radiance[:, k], level) if masked else radiance[:, k], level
                    )
                    for k in (domains.SHORT, domains.MEDIUM)
                ]
                pyramids = [features(picture) for picture in pictures]
                match = progressive_match(*pyramids, radii=(2, 2, 8), propagate=propagate)
                error = match.offsets[0][0].permute(1, 2, 0).numpy() - bracket.motion
                right = np.abs(error).max(axis=-1) <= 1.0
                hits.setdefault((name, masked), []).append(
                    [right[bracket.visible & area] for area in (bracket.saturated, ~bracket.saturated)]
                )
    table = Table("features", "MS-HDR", "inside saturation", "elsewhere")
    for (name, masked), rows in hits.items():
        shares = [float(np.mean([row[i].mean() for row in rows if row[i].size])) for i in (0, 1)]
        table.add_row(name, "yes" if masked else "no", *(f"{share:.3f}" for share in shares))
    Console().print(table)


if __name__ == "__main__":
    main()
