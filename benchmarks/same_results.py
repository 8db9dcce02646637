"""Whether this build gives bit for bit the results of another commit: val-v1, Fig. 7 and the demo.

python benchmarks/same_results.py --base COMMIT --data DIR

For changes that must not change a number; of those that do, it names the numbers. Takes about eight minutes.
Run it in a clone of apnt's repository, with the package installed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apnt
from apnt.benchmarks.base import build
from apnt.errors import InputError
from apnt.methods import DEFAULT

COMMANDS = {
    "val-v1": ["evaluate", "--set", "val-v1", "--data", "{data}", "--json", "{out}/val-v1.json"],
    "Fig. 7": [
        "experiment",
        "fig7",
        "--data",
        "{data}",
        "--out",
        "{out}/fig7",
        "--methods",
        ",".join(DEFAULT),
    ],
    "demo": ["demo", "--out", "{out}/demo"],
}


MOST_SHOWN = 12
"""Numbers that are listed of a result that differs, the largest differences first."""


def results(package: Path, data: Path, out: Path) -> dict[str, dict[str, Any]]:
    """Run all commands with the apnt in ``package``: what was made -> its numbers, or its bytes' digest."""
    out.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(package)}
    for command in COMMANDS.values():
        words = [word.format(data=data, out=out) for word in command]
        # From there, or the current folder's apnt would come before that on the path.
        run = [sys.executable, "-m", "apnt", *words]
        subprocess.run(run, env=environment, cwd=out, check=True, stdout=subprocess.DEVNULL)
    files = {"val-v1": out / "val-v1.json", "Fig. 7": out / "fig7" / "fig7.json"}
    found = {name: numbers(path) for name, path in files.items()}
    for path in sorted((out / "demo").iterdir()):
        found[f"demo: {path.name}"] = {"SHA-256": hashlib.sha256(path.read_bytes()).hexdigest()}
    return found


def numbers(path: Path) -> dict[str, Any]:
    """What was measured, not what was said about it nor the machine: where it stands -> number."""
    content = json.loads(path.read_text())
    measured = {
        key: content[key] for key in ("means", "scenes", "scores", "counts", "falls") if key in content
    }
    if not {"means", "scenes"} <= measured.keys():
        raise RuntimeError(f"{path.name} must hold means and scenes, and it holds {', '.join(content)}")
    return dict(flat(measured))


def flat(content: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every number or word of nested JSON with the keys that lead to it."""
    if not isinstance(content, dict | list):
        yield name, content
        return
    pairs = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in pairs:
        yield from flat(value, f"{name} {key}".strip())


def differences(base: dict[str, Any], own: dict[str, Any]) -> list[str]:
    """A line for each value that differs, numbers first, those that differ most before the others."""
    lines = []
    for name in base.keys() | own.keys():
        before, now = base.get(name), own.get(name)
        if before != now:
            far = abs(now - before) if isinstance(before, float) and isinstance(now, float) else -1.0
            lines.append((-far, f"{name}: {before} before, {now} now"))
    return [line for _, line in sorted(lines)]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--base", required=True, help="a commit")
    parser.add_argument("--data", required=True, type=Path, help="folder of val-v1's radiance maps")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            other = build(options.base, Path.cwd(), folder)
        except InputError as error:
            sys.exit(f"Error: {error}")
        data = options.data.resolve()
        base = results(other, data, folder / "base")
        own = results(Path(apnt.__file__).parents[1], data, folder / "own")
    for what in sorted(base.keys() | own.keys()):
        lines = differences(base.get(what, {}), own.get(what, {}))
        print(f"{'DIFFERENT' if lines else 'same     '}  {what}")
        for line in lines[:MOST_SHOWN]:
            print(f"           {line}")
        if len(lines) > MOST_SHOWN:
            print(f"           and {len(lines) - MOST_SHOWN} more, which differ less")
    sys.exit(base != own)


if __name__ == "__main__":
    main()
