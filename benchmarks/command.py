"""``apnt bench``, and what the scripts of this folder do when they are run."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from apnt.benchmarks import measure
from apnt.benchmarks.base import compare
from apnt.benchmarks.measure import Row
from apnt.defaults import BENCHMARKS
from apnt.device import choose_device
from apnt.errors import InputError
from apnt.io.exposure import parse_stops
from apnt.io.files import check_output, write_text
from apnt.progress import hidden


def run_benchmarks(
    names: Sequence[str],
    images: Sequence[Path] = (),
    stops: Sequence[float] | None = None,
    device: str | None = None,
    json_path: Path | None = None,
    markdown_path: Path | None = None,
    base: str | None = None,
    force: bool = True,
) -> bool:
    """Measure, print the tables, and write them where asked.

    Args:
        names: of ``apnt.defaults.BENCHMARKS``.
        images: three photographs whose offsets are taken; none makes a procedural scene.
        stops: the photographs' exposures; None reads EXIF.
        device: as for :func:`apnt.fuse`.
        json_path, markdown_path: a ``.json`` and a ``.md``, written anew with every row that is measured.
        base: a commit that this build is timed beside, in place of floors and peers; the current folder has
            to lie in a clone of apnt's repository.
        force: files that exist are replaced; False refuses it.

    Returns:
        Whether every target was met.

    Raises:
        InputError: an unknown name, a number of images other than 0 and 3, unusable images, or a file that
            cannot be written.
    """
    for name in names:
        if name not in BENCHMARKS:
            raise InputError(f"names must be of {', '.join(BENCHMARKS)}, got {name!r}")
    if len(images) not in (0, 3):
        raise InputError(f"images must be three photographs, or none, got {len(images)}")
    for label, path, suffix in (("json", json_path, ".json"), ("markdown", markdown_path, ".md")):
        if path is not None:  # found before the minutes of work
            check_output(path, (suffix,), images, name=label, force=force)
    where = choose_device(device)
    found: dict[str, Any] = {}
    text: dict[str, str] = {}
    met = True
    console, errors = Console(), Console(stderr=True)
    for name in names if base is None else ["base"]:
        if not hidden(errors):
            errors.print(f"Measuring {name}")  # a bar that moves would be measured too
        measured: Iterable[Row]
        if base is not None:
            measured = compare(base, Path.cwd())
        else:
            module = importlib.import_module(f"apnt.benchmarks.bench_{name}")
            measured = getattr(module, f"measure_{name}")(images, stops, where)
        rows: list[Row] = []
        for row in measured:
            rows.append(row)
            found[name] = measure.as_json(rows, where)
            text[name] = measure.as_markdown(name, rows, where)
            if json_path is not None:
                write_text(json_path, json.dumps(found, indent=1) + "\n")
            if markdown_path is not None:
                write_text(markdown_path, "\n".join(text.values()))
        met &= all(row.met is not False for row in rows)
        console.print(measure.as_table(name, rows))
    return met


def main(name: str) -> None:
    """Run one benchmark from the command line."""
    parser = argparse.ArgumentParser(description=f"Benchmark of {name}.")
    parser.add_argument("images", nargs="*", type=Path, help="three photographs whose offsets are taken")
    parser.add_argument("--stops", help="their exposures, 0,3,6, instead of EXIF")
    parser.add_argument("--device", help="cpu or cuda")
    parser.add_argument("--threads", type=int, help="of the CPU")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    stops = None if options.stops is None else parse_stops(options.stops)
    try:
        run_benchmarks([name], options.images, stops, options.device, options.json, options.markdown)
    except InputError as error:
        sys.exit(f"Error: {error}")
