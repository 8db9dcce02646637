"""The log of a run: lines of JSON, and TensorBoard's files where it is installed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from apnt.errors import InputError
from apnt.io.files import write_text

FILE = "log.jsonl"
TENSORBOARD = "tensorboard"
INSTALL = "TensorBoard is not installed; pip install 'apnt[train]' adds curves and pictures"


def tensorboard_writer() -> Any | None:
    """PyTorch's ``SummaryWriter``, or None where the ``tensorboard`` package is missing."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter


class Log:
    """The log of one part of a run.

    Args:
        out: folder of the run.
        part: ``"features"`` or ``"network"``.
        step: at which the run resumes; lines of this part after it belong to steps that will be done again,
            and are dropped.
        tensorboard: write TensorBoard's files; True needs it installed, None writes where it is installed.

    Raises:
        InputError: TensorBoard is wanted and not installed.
    """

    def __init__(self, out: Path, part: str, step: int = 0, tensorboard: bool | None = False):
        self.path, self.part = out / FILE, part
        self._drop_lines_after(step)
        writer = None if tensorboard is False else tensorboard_writer()
        if writer is None and tensorboard:
            raise InputError(f"tensorboard must be installed to be written: {INSTALL}")
        self.board = None
        if writer is not None:
            self.board = writer(str(out / TENSORBOARD), purge_step=step + 1)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Log the numbers of a step."""
        # JSON has no infinity, which is the PSNR of two equal pictures.
        plain = {key: value if math.isfinite(value) else None for key, value in values.items()}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"part": self.part, "step": step, **plain}) + "\n")
        if self.board is not None:
            for key, value in values.items():
                self.board.add_scalar(f"{self.part}/{key}", value, step)

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        """Log an (H, W, 3) uint8 picture, to TensorBoard alone."""
        if self.board is not None:
            self.board.add_image(f"{self.part}/{name}", image, step, dataformats="HWC")

    def close(self) -> None:
        """Flush and close TensorBoard's writer."""
        if self.board is not None:
            self.board.close()

    def _drop_lines_after(self, step: int) -> None:
        """Drop this part's lines after ``step``, and a line that a kill has left half-written."""
        if not self.path.is_file():
            return
        lines = []
        for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                row = json.loads(line)
                if row["part"] != self.part or row["step"] <= step:
                    lines.append(line + "\n")
            except (json.JSONDecodeError, KeyError, TypeError):
                continue
        write_text(self.path, "".join(lines))
