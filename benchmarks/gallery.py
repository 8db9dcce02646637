"""Pictures of scenes for the site: the exposures, the fused image, and what is special about it.

    python benchmarks/gallery.py [--data DIR] [--out docs]

Without data: scenes made by code, whose pictures are given under CC0. With the folder of `apnt evaluate --set
val-v1`: also brackets of its CC0 radiance maps (Poly Haven), whose pictures are CC0 as well.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

import apnt
from apnt.bracket import Bracket
from apnt.data.procedural import procedural_bracket
from apnt.evaluate.sets import load_set
from apnt.io import write_picture
from apnt.io.files import make_folder, write_text
from apnt.metrics import psnr_mu
from apnt.progress import progress

_OURS = ((0, 2.0), (3, 2.0), (4, 3.0), (7, 1.5))  # seed, stops between exposures
_OF_OTHERS = 8  # brackets of radiance maps
_WIDTH = 384  # pixels of a picture
_HEAD = """\
# Gallery

Each row: the exposures, and what `apnt.fuse` makes of them, shown by `apnt.render` in the mood of the medium
one. The scenes are made by code and their pictures are [CC0](https://creativecommons.org/publicdomain/zero/1.0/).
`python benchmarks/gallery.py` writes this page, and with `--data DIR` adds brackets of CC0 radiance maps.
"""


def scenes(data: Path | None) -> Iterator[tuple[str, Bracket]]:
    """A sentence, and its bracket."""
    for seed, stops in _OURS:
        bracket = procedural_bracket(seed, 256, 384, stops)
        yield (
            f"A room made by code (seed {seed}), {stops:g} stops apart; a ball flies past the window.",
            bracket,
        )
    if data is not None:
        brackets, _ = load_set("val-v1", data)
        free = (bracket for bracket in brackets if not bracket.name.startswith("ilm_"))
        for _, bracket in zip(range(_OF_OTHERS), free, strict=False):
            yield f"`{bracket.name}`, of a radiance map of Poly Haven (CC0), with objects that move.", bracket


def make_gallery(out: Path, data: Path | None = None, weights: str = "default") -> Path:
    """Write the page and its pictures.

    Args:
        out: folder of the page; pictures go to ``images/gallery`` below it.
        data: folder of radiance maps; None = scenes made by code alone.
        weights: of the network.

    Returns:
        The page.
    """
    pictures = make_folder(out / "images" / "gallery")
    page = [_HEAD]
    found = list(scenes(data))
    with progress(len(found)) as begin:
        for sentence, bracket in found:
            begin(bracket.name)
            fused = np.asarray(apnt.fuse(list(bracket.ldr), bracket.times, weights=weights, curve="gamma22"))
            shown = apnt.render(fused, like=bracket.reference_frame)
            file = write_picture(pictures / f"{bracket.name}.jpg", _row([*bracket.ldr, shown]))
            assert bracket.truth is not None
            score = psnr_mu(fused, bracket.truth)
            page.append(f"{sentence} {score:.1f} dB PSNR-µ to the truth.\n")
            page.append(f"![Exposures and result of {bracket.name}]({file.relative_to(out)})\n")
    write_text(out / "gallery.md", "\n".join(page))
    return out / "gallery.md"


def _row(pictures: list[np.ndarray]) -> np.ndarray:
    """(h, w, 3) uint8: pictures beside each other."""
    height = round(_WIDTH * pictures[0].shape[0] / pictures[0].shape[1])
    small = [cv2.resize(picture, (_WIDTH, height), interpolation=cv2.INTER_AREA) for picture in pictures]
    return np.rint(255 * np.concatenate(small, axis=1)).astype(np.uint8)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("--out", type=Path, default=Path("docs"))
    given = parser.parse_args()
    print(make_gallery(given.out, given.data))
