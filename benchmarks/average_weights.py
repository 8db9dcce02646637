"""The mean of two weights of one network: what a fine-tuning began from, and what it made.

    python benchmarks/average_weights.py BEFORE AFTER --share 0.5 [--expected FACTOR] [--change JSON]
        [--features FILE] -o OUT

On straight lines between the two a network often keeps what it could before and has most of what it learned
(M. Wortsman et al., Robust fine-tuning of zero-shot models, CVPR 2022). ``AFTER`` may be wider or have
further tensors, as ``apnt train --init`` makes them: what ``BEFORE`` lacks counts as zeros in widened
tensors, as at the start of such a run, and is taken from ``AFTER`` where the whole tensor is missing.

``--expected`` multiplies the expected errors of a network that has them: what was found over what was
expected, so that both are the same on average. ``--change`` sets what changes no weight, such as
``{"border": 8}``. ``--features`` takes the matching features of another file, as ``apnt train`` leaves them;
their ``match_dilations`` are a change.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from apnt.errors import InputError
from apnt.nn import APNTFusion
from apnt.train.command import read_features


def average(before: dict[str, Tensor], after: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    """``(1 - share) * before + share * after`` for every tensor of ``after``."""
    mixed = {}
    for name, new in after.items():
        if name not in before:
            mixed[name] = new
            continue
        old = torch.zeros_like(new)
        old[tuple(slice(0, side) for side in before[name].shape)] = before[name]
        mixed[name] = torch.lerp(old, new, share)
    return mixed


def scale_expected(network: APNTFusion, factor: float) -> None:
    """Multiply the errors that the network expects, the exponential of what its last layer gives.

    Raises:
        InputError: a factor for a network that expects none.
    """
    if network.config.confidence:
        last = network.confidence[-1] if network.config.confidence_channels else network.confidence
        bias = last.bias
        assert bias is not None
        with torch.no_grad():
            bias.add_(math.log(factor))
    elif factor != 1:
        raise InputError(f"expected must be 1 for a network without confidence, got {factor}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("before", help="weights, as for `apnt fuse --weights`")
    parser.add_argument("after", help="weights whose configuration the result has")
    parser.add_argument("--share", type=float, default=0.5, help="of the second, from 0 to 1")
    parser.add_argument("--expected", type=float, default=1.0, help="factor for the expected errors")
    parser.add_argument("--change", type=json.loads, default={}, help="fields of the configuration, as JSON")
    parser.add_argument("--features", help="matching features, as for `apnt train --features`")
    parser.add_argument("-o", "--out", type=Path, required=True)
    given = parser.parse_args()
    if not 0 <= given.share <= 1:
        parser.error(f"--share must lie from 0 to 1, got {given.share}")
    if not 0 < given.expected < math.inf:
        parser.error(f"--expected must be positive, got {given.expected}")
    before, after = (APNTFusion.from_pretrained(name) for name in (given.before, given.after))
    state = average(before.state_dict(), after.state_dict(), given.share)
    if given.features:
        features = read_features(given.features)
        state = {name: value for name, value in state.items() if not name.startswith("match_features.")}
        state |= {f"match_features.{name}": value for name, value in features.items()}
    made = APNTFusion(replace(after.config, **given.change))
    made.load_state_dict(state)
    scale_expected(made, given.expected)
    made.save(given.out)


if __name__ == "__main__":
    main()
