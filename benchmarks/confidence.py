"""Whether the error that the network expects of its result is the error that it has.

    python benchmarks/confidence.py --data DIR [--set val-v2] [--weights default --weights fast]
                                    [--precision auto] [--markdown FILE] [--plot FILE]

All pixels of a set with truth, in twenty equal groups by their expected error after the mu-law: what is
expected of each group, and what is found. The ratio is of the mean errors of the least sure 5 % and of the
rest: of all pixels together, and the mean of every bracket's own.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from apnt._fuse import fuse_bracket
from apnt.evaluate.sets import load_set
from apnt.evaluate.tables import as_markdown
from apnt.experiments.plot import line_plot, write_picture
from apnt.io.files import write_text
from apnt.methods import Method, Options, load_method
from apnt.tonemap import mu_law

GROUPS = 20
"""Of equal size: the last is the least sure 5 %."""


def errors(method: Method, name: str, data: Path | None) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Expected and found absolute errors after the mu-law, of every pixel of every bracket, flat."""
    expected, found = [], []
    for bracket in load_set(name, data)[0]:
        fused = fuse_bracket(bracket, method, maps=True)
        assert fused.maps is not None and fused.maps.error is not None and bracket.truth is not None
        away = np.abs(mu_law(fused.image) - mu_law(np.clip(bracket.truth, 0, 1))).mean(axis=2)
        expected.append(fused.maps.error.ravel())
        found.append(away.ravel())
    return expected, found


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
    lines: dict[str, list[float]] = {}
    for weights in chosen.weights or ["default", "fast"]:
        method = load_method("apnt", Options(weights, "cpu", chosen.precision))
        expected, found = errors(method, chosen.name, chosen.data)
        each = np.mean([ratio(*pair) for pair in zip(expected, found, strict=True)])
        everything = np.concatenate(expected), np.concatenate(found)
        share = everything[0].mean(dtype=np.float64) / everything[1].mean(dtype=np.float64)
        rows.append([weights, f"{share:.2f}", f"{ratio(*everything):.2f}", f"{each:.2f}"])
        for what, values in zip(("expected", "found"), grouped(*everything), strict=True):
            means.append([f"{weights}, {what}", *(f"{value:.4f}" for value in values)])
            lines[f"{weights}, {what}"] = [1000 * float(value) for value in values]
    said = f"{chosen.name}, absolute error after the mu-law\n\n{as_markdown(rows)}\n\n{as_markdown(means)}\n"
    print(said)
    if chosen.markdown:
        write_text(chosen.markdown, said)
    if chosen.plot:
        at = [100 * (k + 1) / GROUPS for k in range(GROUPS)]
        title = f"thousandths after the mu-law, {chosen.name}"
        write_picture(chosen.plot, line_plot(at, lines, "% of pixels, least sure last", title))


if __name__ == "__main__":
    main()
