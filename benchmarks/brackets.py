"""Every bracket in a folder fused as ``apnt fuse FOLDER`` does, and what was found in it.

    python benchmarks/brackets.py --data DIR [--weights fast] [--pictures DIR] [--markdown FILE]

Of each folder in ``brackets/``: where its exposures come from, the curve with its expected error, what was
corrected and doubted, and what the result rests on. Photographs of more than ``--largest`` megapixels are
prepared in full and fused at half their size, so that the network fits into the memory of a laptop.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch

from apnt import render
from apnt._fuse import fuse_bracket
from apnt.benchmarks.measure import machine
from apnt.bracket import Bracket
from apnt.errors import InputError
from apnt.evaluate.tables import as_markdown
from apnt.io import write_picture
from apnt.io.files import check_output, write_text
from apnt.methods import Method, Options, load_method
from apnt.prepare.pipeline import Prepared, prepare

HEADS = ["bracket", "frames", "exposures", "curve", "corrected", "aligned", "warnings", "white", "seconds"]

KINDS = {"Brightness": "exposure", "White balance": "balance", "Corners": "corners", "colour": "profile"}
"""Words of the notes -> what was corrected."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with brackets/")
    parser.add_argument("--weights", default="fast", help="of the network")
    parser.add_argument("--largest", type=float, default=6.0, help="megapixels that are fused as they are")
    parser.add_argument("--pictures", type=Path, help="folder for one picture a bracket")
    parser.add_argument("--markdown", type=Path, help="where the table is also written")
    options = parser.parse_args()
    if options.markdown:
        check_output(options.markdown, (".md",), name="markdown")
    if options.pictures:
        options.pictures.mkdir(parents=True, exist_ok=True)
    method = load_method("apnt", Options(options.weights, "cpu"))
    rows, said = [HEADS], []
    for folder in sorted(path for path in (options.data / "brackets").iterdir() if path.is_dir()):
        start = time.perf_counter()
        try:
            prepared = prepare(folder)
        except InputError as error:
            rows.append([folder.name, "", "refused", *[""] * (len(HEADS) - 3)])
            said += ["", f"**{folder.name}**", "", f"- Error: {error}"]
            continue
        image, shares = fused(prepared.bracket, method, options.largest)
        rows.append(row(folder.name, prepared, shares, time.perf_counter() - start))
        notes = [f"- Note: {note}" for note in prepared.report.corrections]
        said += ["", f"**{folder.name}**", "", *notes, *(f"- Warning: {w}" for w in prepared.report.warnings)]
        if options.pictures:
            write_picture(options.pictures / f"{folder.name}.jpg", render(image))
        print(" | ".join(rows[-1]), flush=True)
    what = ", ".join(f"{name} {value}" for name, value in machine(torch.device("cpu")).items())
    text = "\n".join(
        [
            "# Brackets of photographs",
            "",
            f"{what}; weights {options.weights}.",
            "",
            as_markdown(rows),
            *said,
            "",
        ]
    )
    print(text)
    if options.markdown:
        write_text(options.markdown, text)


def fused(bracket: Bracket, method: Method, largest: float) -> tuple[np.ndarray, dict[str, float]]:
    """(H, W, 3) radiance, and what it rests on."""
    height, width = bracket.size
    if height * width > largest * 1e6:
        size = (width // 2, height // 2)
        ldr = np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in bracket.ldr])
        valid = None
        if bracket.valid is not None:
            small = [
                cv2.resize(v.astype(np.float32), size, interpolation=cv2.INTER_AREA) for v in bracket.valid
            ]
            valid = np.stack(small) > 1 - 1e-4
        bracket = replace(bracket, ldr=ldr, valid=valid)
    found = fuse_bracket(bracket, method, maps=True)
    return found.image, found.shares


def row(name: str, prepared: Prepared, shares: dict[str, float], seconds: float) -> list[str]:
    """One line of the table."""
    report, (height, width) = prepared.report, prepared.bracket.size
    stops = ", ".join(f"{report.stops[n]:.3g}" for n in prepared.bracket.order)
    error = "" if report.curve_error is None else f" ({max(report.curve_error, 0.005):.1%})"
    kinds = {
        "Brightness": "exposure",
        "White balance": "white balance",
        "Corners": "corners",
        "colour": "profile",
    }
    corrected = [kind for word, kind in kinds.items() if any(word in note for note in report.corrections)]
    states = [entry["status"] for entry in report.alignment]
    moved = max((entry["pixels"] for entry in report.alignment if entry["status"] == "aligned"), default=0.0)
    aligned = f"{states.count('aligned')}, by {moved:.1f} px" if moved else "0"
    if "refused" in states:
        aligned += f", {states.count('refused')} refused"
    return [
        name, f"{len(prepared.bracket)} x {height * width / 1e6:.1f} MP", f"{report.exposures}: {stops}",
        f"{report.curve}{error}", ", ".join(corrected) or "-", aligned, str(len(report.warnings)),
        f"{shares.get('saturated', 0.0):.1%}", f"{seconds:.0f}",
    ]  # fmt: skip


if __name__ == "__main__":
    main()
