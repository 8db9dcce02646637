"""Whether the error that the network expects of its result is the error that it has.

    python benchmarks/confidence.py --data DIR [--set val-v2] [--weights default --weights fast]
                                    [--precision auto] [--markdown FILE] [--plot FILE]

All pixels of a set with truth, in twenty equal groups by their expected error after the mu-law: what is
expected of each group, and what is found. The ratio is of the mean errors of the least sure 5 % and of the
rest: of all pixels together, and the mean of every bracket's own. Then, where more than some error is
expected, the error of the result beside that which the medium exposure's own light has.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np

from apnt._fuse import fuse_bracket
from apnt.bracket import Bracket
from apnt.errors import InputError
from apnt.evaluate.sets import load_set
from apnt.evaluate.tables import as_markdown
from apnt.experiments.plot import line_plot, write_picture
from apnt.io.files import write_text
from apnt.methods import Method, Options, load_method
from apnt.methods.medium import medium
from apnt.tonemap import mu_law

GROUPS = 20
"""Of equal size: the last is the least sure 5 %."""
DOUBTS = (0.02, 0.05, 0.1)
"""Expected errors from which on the result is compared with the medium exposure."""


class Errors(NamedTuple):
    """Absolute errors after the mu-law of a bracket's pixels, and where its reference is saturated; flat.

    Attributes:
        expected: by the network.
        found: of its result.
        medium: of the reference frame's own light.
        saturated: of bools.
    """

    expected: np.ndarray
    found: np.ndarray
    medium: np.ndarray
    saturated: np.ndarray


def errors(bracket: Bracket, method: Method) -> Errors:
    """Those of one bracket with truth."""
    fused = fuse_bracket(bracket, method, maps=True)
    assert bracket.truth is not None
    if fused.maps is None or fused.maps.error is None:
        raise InputError("weights must be of a network with confidence, and these are not")
    truth = mu_law(np.clip(bracket.truth, 0, 1))

    def away(image: np.ndarray) -> np.ndarray:
        return np.asarray(np.abs(mu_law(np.clip(image, 0, 1)) - truth).mean(axis=2).ravel())

    own = away(medium(bracket))
    return Errors(fused.maps.error.ravel(), away(fused.image), own, bracket.saturated.ravel())


def grouped(expected: np.ndarray, found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means of both in each of the groups, the surest first."""
    order = np.argsort(expected, kind="stable")
    parts = np.array_split(order, GROUPS)
    return (
        np.array([expected[part].mean(dtype=np.float64) for part in parts]),
        np.array([found[part].mean(dtype=np.float64) for part in parts]),
    )


def ratio(expected: np.ndarray, found: np.ndarray) -> float:
    """Mean error of the least sure group over that of the rest."""
    _, means = grouped(expected, found)
    return float(means[-1] / means[:-1].mean())


def in_doubt(every: Errors) -> list[list[str]]:
    """A row for each of :data:`DOUBTS`: the share of the pixels, and root mean square errors."""

    def rms(error: np.ndarray, pixels: np.ndarray) -> str:
        return f"{np.sqrt(np.square(error[pixels]).mean()):.3f}" if pixels.any() else "-"

    rows = []
    for least in DOUBTS:
        doubtful = every.expected > least
        cells = [f"{least:g}", f"{100 * doubtful.mean():.2f} %"]
        for pixels in (doubtful & every.saturated, doubtful & ~every.saturated):
            cells += [str(int(pixels.sum())), rms(every.found, pixels), rms(every.medium, pixels)]
        rows.append(cells)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path)
    parser.add_argument("--set", dest="name", default="val-v2")
    parser.add_argument("--weights", action="append")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--plot", type=Path)
    chosen = parser.parse_args()
    groups = [f"{100 * k / GROUPS:g}-{100 * (k + 1) / GROUPS:g} %" for k in range(GROUPS)]
    rows = [["", "expected / found, all", "ratio, all pixels", "ratio, mean of brackets"]]
    means = [["least sure last", *groups]]
    doubts = [
        ["", "expected above", "share"]
        + [f"{where}: {what}" for where in ("saturated", "others") for what in ("pixels", "result", "medium")]
    ]
    lines: dict[str, list[float]] = {}
    for weights in chosen.weights or ["default", "fast"]:
        method = load_method("apnt", Options(weights, "cpu", chosen.precision))
        each = [errors(bracket, method) for bracket in load_set(chosen.name, chosen.data)[0]]
        every = Errors(*(np.concatenate(parts) for parts in zip(*each, strict=True)))
        share = every.expected.mean(dtype=np.float64) / every.found.mean(dtype=np.float64)
        mean = np.mean([ratio(one.expected, one.found) for one in each])
        rows.append([weights, f"{share:.2f}", f"{ratio(every.expected, every.found):.2f}", f"{mean:.2f}"])
        for what, values in zip(("expected", "found"), grouped(every.expected, every.found), strict=True):
            means.append([f"{weights}, {what}", *(f"{value:.4f}" for value in values)])
            lines[f"{weights}, {what}"] = [1000 * float(value) for value in values]
        doubts += [[weights, *row] for row in in_doubt(every)]
    tables = "\n".join(as_markdown(table) for table in (rows, means, doubts))
    said = f"{chosen.name}, absolute error after the mu-law\n\n{tables}"
    print(said)
    if chosen.markdown:
        write_text(chosen.markdown, said)
    if chosen.plot:
        at = [100 * (k + 1) / GROUPS for k in range(GROUPS)]
        title = f"thousandths after the mu-law, {chosen.name}"
        write_picture(chosen.plot, line_plot(at, lines, "% of pixels, least sure last", title))


if __name__ == "__main__":
    main()
