"""Whether this build gives bit for bit the results of another commit: val-v1, Fig. 7 and the demo.

python benchmarks/same_results.py --base COMMIT --data DIR

For changes that must not change a number. Run it in a clone of apnt's repository, with the package installed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import apnt
from apnt.benchmarks.base import build
from apnt.errors import InputError

COMMANDS = {
    "val-v1": ["evaluate", "--set", "val-v1", "--data", "{data}", "--json", "{out}/val-v1.json"],
    "Fig. 7": ["experiment", "fig7", "--data", "{data}", "--out", "{out}/fig7"],
    "demo": ["demo", "--out", "{out}/demo"],
}


def results(package: Path, data: Path, out: Path) -> dict[str, str]:
    """Run all commands with the apnt in ``package``: what was made -> a digest of its numbers or bytes."""
    out.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(package)}
    for command in COMMANDS.values():
        words = [word.format(data=data, out=out) for word in command]
        # From there, or the current folder's apnt would come before that on the path.
        run = [sys.executable, "-m", "apnt", *words]
        subprocess.run(run, env=environment, cwd=out, check=True, stdout=subprocess.DEVNULL)
    files = {"val-v1": out / "val-v1.json", "Fig. 7": out / "fig7" / "fig7.json"}
    found = {name: digest(numbers(path)) for name, path in files.items()}
    for path in sorted((out / "demo").iterdir()):
        found[f"demo: {path.name}"] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def numbers(path: Path) -> dict[str, Any]:
    """What was measured, without what was said about it and without the machine."""
    content = json.loads(path.read_text())
    return {key: content[key] for key in ("means", "scenes", "scores", "counts", "falls") if key in content}


def digest(content: dict[str, Any]) -> str:
    """SHA-256 of JSON, in which every float stands with all its digits."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


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
        same = base.get(what) == own.get(what)
        print(f"{'same     ' if same else 'DIFFERENT'}  {own.get(what, 'missing')[:16]}  {what}")
    sys.exit(base != own)


if __name__ == "__main__":
    main()
