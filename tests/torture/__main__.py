"""The reliability bench. ``make torture`` runs all of it for hours; ``--scale 0.001`` takes two minutes.

python tests/torture --scale 1 --write docs/reliability.md
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import commands
import disks
import files
import kills
import ops_cases
import processes
from results import Row, as_markdown

from apnt.info import processor

PARTS = {  # name -> (function of a number of tries and a seed, the tries at scale 1)
    "mutations": (files.mutations, 100_000),
    "truncations": (files.truncations, 10_000),
    "ops": (ops_cases.ops_rows, 20_000),
    "kills": (kills.kills, 1_000),
    "disks": (disks.disks, 400),
    "growth": (processes.growth, 2_000),
    "concurrency": (processes.concurrency, 120),
}
FEWEST = 16  # tries of a part, however small the scale
BEGIN, END = "<!-- table of make torture -->\n", "<!-- end of the table -->\n"


def main() -> int:
    """Run the bench; the exit code is 1 where there is a fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the tries of the whole bench")
    parser.add_argument(
        "--only", help=f"parts, separated by commas, of {', '.join(PARTS)}; '' writes what is in --json"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="rows of earlier parts, kept beside these")
    parser.add_argument(
        "--add",
        action="store_true",
        help="add to the rows in --json: a run in parts, each of its seed",
    )
    parser.add_argument("--write", type=Path, help="the document whose table is replaced")
    options = parser.parse_args()
    processes.one_thread()
    commands.prepare()

    kept = json.loads(options.json.read_text()) if options.json and options.json.is_file() else {}
    names = list(PARTS) if options.only is None else [name for name in options.only.split(",") if name]
    for name in names:
        run, tries = PARTS[name]
        begun = time.monotonic()
        rows = run(max(FEWEST, round(options.scale * tries)), options.seed)
        print(f"{name}: {time.monotonic() - begun:.0f} s", file=sys.stderr)
        for row in rows:
            for fault in row.faults[:20]:
                print(f"FAULT  {row.what}: {fault}", file=sys.stderr)
        kept[name] = [vars(row) for row in (_added(kept.get(name, []), rows) if options.add else rows)]
        if options.json:
            options.json.write_text(json.dumps(kept, indent=1))
    rows = [Row(**row) for name in PARTS for row in kept.get(name, [])]
    page = _page(rows)
    print(page, end="")
    if options.write:
        text = options.write.read_text(encoding="utf-8")
        before, rest = text.split(BEGIN)
        options.write.write_text(
            before + BEGIN + "\n" + page + "\n" + END + rest.split(END)[1], encoding="utf-8"
        )
    return int(any(row.faults for row in rows))


def _added(earlier: list[dict[str, Any]], rows: list[Row]) -> list[Row]:
    before = {row["what"]: Row(**row) for row in earlier}
    for row in rows:
        if row.what in before:
            old = before[row.what]
            row.tries += old.tries
            row.seconds += old.seconds
            row.faults = old.faults + row.faults
    return rows


def _page(rows: list[Row]) -> str:
    tries, faults = sum(row.tries for row in rows), sum(len(row.faults) for row in rows)
    hours = sum(row.seconds for row in rows) / 3600
    machine = f"{os.cpu_count()} cores of {processor()}, {platform.system()}"
    summary = f"{tries:,} tries, {faults} faults, {hours:.2f} hours of one process on {machine}."
    return f"{as_markdown(rows)}\n{summary}\n"


if __name__ == "__main__":
    sys.exit(main())
