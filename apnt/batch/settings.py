"""How every bracket of a batch is fused and written."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from apnt import defaults
from apnt.errors import InputError
from apnt.io.written import PREVIEW
from apnt.outputs import Picture
from apnt.run import REPORT_SUFFIXES, Outputs

_SAME = ("device", "precision", "memory", "report")
"""Fields that leave each file as it is: they say where and how fast, or add one."""


@dataclass(frozen=True)
class Settings:
    """Options of ``apnt fuse`` that hold for all brackets.

    Attributes:
        radiance: suffix of the HDR images.
        picture: suffix of the pictures beside them; None = none.
        method, weights, device, precision: see :func:`apnt.fuse`.
        curve, align, strict, trust_exposures: see :class:`apnt.prepare.pipeline.Options`.
        look, exposure, white_balance, gain_map: of the pictures, see :class:`apnt.outputs.Picture`.
        metadata: what is kept, one of :data:`apnt.io.kept.POLICIES`.
        memory: bytes that fusing may take in each process; None = most of what is free.
        report: write the page beside them, too.
    """

    radiance: str = ".exr"
    picture: str | None = ".jpg"
    method: str = defaults.METHOD
    weights: str = defaults.WEIGHTS
    device: str | None = None
    precision: str = "auto"
    curve: str = defaults.CURVE
    align: str = "auto"
    strict: bool = False
    look: str = defaults.LOOK
    exposure: float = 0.0
    white_balance: str = defaults.WHITE_BALANCE
    gain_map: bool = False
    metadata: str = "all"
    memory: int | None = None
    trust_exposures: bool = False
    report: bool = False

    def check(self) -> None:
        """Find what is wrong before any work.

        Raises:
            InputError: an option that cannot be used.
        """
        from apnt.device import choose_device, use_bf16
        from apnt.io.kept import check_policy
        from apnt.io.picture import PICTURE_SUFFIXES
        from apnt.io.radiance import RADIANCE_SUFFIXES
        from apnt.methods import check_method
        from apnt.nn.checkpoint import find
        from apnt.prepare.pipeline import AUTO
        from apnt.prepare.response import response_of

        if self.radiance not in RADIANCE_SUFFIXES:
            raise InputError(f"format must be one of {', '.join(RADIANCE_SUFFIXES)}, got {self.radiance!r}")
        if self.picture is not None and self.picture not in PICTURE_SUFFIXES:
            raise InputError(f"preview must be one of {', '.join(PICTURE_SUFFIXES)}, got {self.picture!r}")
        entry = check_method(self.method)
        self.outputs(Path(), "a").picture.check_method(self.method, display=entry.kind == "display")
        check_policy(self.metadata)
        if entry.has_weights:
            find(self.weights)
            use_bf16(self.precision, choose_device(self.device))
        if self.curve != AUTO:
            response_of(self.curve)

    def outputs(self, folder: Path, name: str) -> Outputs:
        """All that is written of a bracket."""
        base = folder / name

        def beside(suffix: str) -> Path:
            return base.with_name(base.name + suffix)

        shown = Picture(
            None if self.picture is None else beside(PREVIEW + self.picture),
            self.look,
            self.exposure,
            self.white_balance,
            self.gain_map,
        )
        report = beside(REPORT_SUFFIXES[0]) if self.report else None
        return Outputs(beside(self.radiance), shown, self.metadata, report)

    @property
    def said(self) -> dict[str, Any]:
        """What the results depend on, as it was said."""
        return {name: value for name, value in asdict(self).items() if name not in _SAME}

    @cached_property
    def identity(self) -> dict[str, Any]:
        """The same, where files count by their content."""
        curve = _content(Path(self.curve)) or self.curve
        return {**self.said, "weights": _weights(self.weights), "curve": curve}


def _weights(name: str) -> str:
    from apnt.nn.checkpoint import find

    file = find(name)
    return name if file is None else _content(file) or name


def _content(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
