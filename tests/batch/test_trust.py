"""``apnt batch --trust-exposures``, which refusals advise."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import typer.testing
from PIL import Image

from apnt.cli import app
from apnt.data.procedural import procedural_bracket


def test_exposures_that_the_pixels_contradict(tmp_path: Path) -> None:
    """Without it, it would be refused: the second is darker than the third."""
    made = procedural_bracket(3, 96, 128, 2.0)
    for k, frame in enumerate(made.ldr):
        Image.fromarray(np.round(frame * 255).astype(np.uint8)).save(tmp_path / f"{k}.png")
    groups = tmp_path / "groups.toml"
    groups.write_text("[[bracket]]\nname = 'a'\nfiles = ['0.png', '1.png', '2.png']\nstops = [0, 6, 4.5]\n")
    arguments = [tmp_path, "-o", tmp_path / "out", "--method", "weighted", "--json", "--groups", groups]
    result = typer.testing.CliRunner().invoke(app, ["batch", *map(str, arguments), "--trust-exposures"])
    assert result.exit_code == 0, result.output
    (line,) = (line for line in map(json.loads, result.stdout.splitlines()) if "bracket" in line)
    assert line["stops"] == pytest.approx([0, 6, 4.5])
