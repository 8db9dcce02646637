"""The weights that come with the package. Their names need not wait for torch."""

from __future__ import annotations

from pathlib import Path

PACKAGED = Path(__file__).parent / "weights"


def packaged() -> dict[str, Path]:
    """The files of the packaged weights by their names."""
    return {path.stem: path for path in PACKAGED.glob("*.safetensors")}
