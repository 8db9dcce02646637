"""A camera's response: which linear light a display-referred value stands for, per colour channel."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from apnt.camera import GAMMA
from apnt.errors import InputError
from apnt.io.files import check_output, write_text
from apnt.io.inputs import is_path, read_text

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CHANNELS = ("red", "green", "blue")
FORMAT = 1
"""Version of the files that :meth:`Response.save` writes."""

_MOST_LEVELS = 65536  # 16 bits: a longer table says nothing more
_CHUNK = 1 << 20  # values that are mapped at once, so that temporary arrays stay small


class _Formula(NamedTuple):
    """A curve that has a name: value to linear light, and back, in the type that comes in."""

    linear: Callable[[np.ndarray], np.ndarray]
    encode: Callable[[np.ndarray], np.ndarray]


def _piecewise(slope: float, scale: float, exponent: float, knee: float) -> _Formula:
    """``slope * light`` below the light ``knee``, above it ``scale * light**exponent - (scale - 1)``."""
    offset = scale - 1
    return _Formula(
        linear=lambda v: np.where(v < slope * knee, v / slope, ((v + offset) / scale) ** (1 / exponent)),
        encode=lambda x: np.where(x < knee, slope * x, scale * x**exponent - offset),
    )


_FORMULAS = {
    "gamma22": _Formula(lambda v: v**GAMMA, lambda x: x ** (1 / GAMMA)),
    "srgb": _piecewise(slope=12.92, scale=1.055, exponent=1 / 2.4, knee=0.0031308),  # IEC 61966-2-1
    "bt709": _piecewise(slope=4.5, scale=1.099, exponent=0.45, knee=0.018),  # ITU-R BT.709-6
    "linear": _Formula(np.array, np.array),
}
NAMED = tuple(_FORMULAS)
"""Names of the responses that are formulas, the same for all channels."""


def named_light(name: str, values: np.ndarray) -> np.ndarray:
    """Linear light of values in [0, 1] by a named response: same shape and type, float32 or float64."""
    return _FORMULAS[name].linear(values)


@dataclass(frozen=True, eq=False)
class Response:
    """Increasing curves from display-referred values in [0, 1] to linear light in [0, 1], 1 = saturated.

    Attributes:
        name: one of :data:`NAMED`, whose formula is then used, or, with ``table``, what messages call it.
        table: (3, K) float64, of red, green and blue, at K evenly spaced values from 0 to 1: light to the
            power of ``1 / 2.2``, strictly increasing from 0 to 1, interpolated linearly. In this unit camera
            curves are nearly straight, so that 256 levels are enough. None for a formula.

    Raises:
        InputError: a name without formula or table, or a table that is none.
    """

    name: str
    table: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.table is None:
            if self.name not in NAMED:
                raise InputError(
                    f"response must be one of {', '.join(NAMED)}, or have a table: got {self.name!r}"
                )
            return
        if self.name in NAMED:
            raise InputError(f"name must not be that of a formula where a table is given, got {self.name!r}")
        table = np.array(self.table, dtype=np.float64)
        if table.ndim != 2 or len(table) != 3 or not 2 <= table.shape[1] <= _MOST_LEVELS:
            raise InputError(
                f"table must have shape (3, K) with K from 2 to {_MOST_LEVELS}, got {table.shape}"
            )
        for channel, curve in zip(CHANNELS, table, strict=True):
            _check_curve(channel, curve)
        table.setflags(write=False)
        object.__setattr__(self, "table", table)

    def linear(self, pixels: np.ndarray) -> np.ndarray:
        """Linear light of display-referred values.

        Args:
            pixels: (..., 3) float in [0, 1], RGB.

        Returns:
            Same shape, float32 in [0, 1], 1 = saturated.

        Raises:
            InputError: another shape, or values that are not finite or outside [0, 1].
        """
        _check_pixels(pixels)
        if self.table is None:
            return _in_chunks(pixels, lambda values, channel: named_light(self.name, values))
        table = self.table
        return _in_chunks(
            pixels, lambda values, channel: _lookup(table[channel], values) ** np.float32(GAMMA)
        )

    def encode(self, light: np.ndarray) -> np.ndarray:
        """Display-referred values of linear light: what the camera would write, before quantisation.

        Args:
            light: (..., 3), RGB; what is outside [0, 1] is clipped, as a sensor does.

        Returns:
            Same shape, float32 in [0, 1].

        Raises:
            InputError: another shape, or NaN.
        """
        if light.ndim == 0 or light.shape[-1] != 3:
            raise InputError(f"light must have shape (..., 3), got {light.shape}")
        if np.isnan(light).any():
            raise InputError("light must be numbers, and it holds NaN")
        if self.table is None:
            return _in_chunks(light, lambda x, channel: _FORMULAS[self.name].encode(np.clip(x, 0, 1)))
        table, levels = self.table, np.linspace(0.0, 1.0, self.table.shape[1])
        return _in_chunks(
            light, lambda x, channel: np.interp(np.clip(x, 0, 1) ** (1 / GAMMA), table[channel], levels)
        )

    def save(self, path: str | Path) -> None:
        """Write a small TOML file that :meth:`load` reads; an older one is replaced whole or not at all.

        Raises:
            InputError: a place that cannot be written, or a name that does not end in ``.toml``.
        """
        write_text(check_output(path, (".toml",), name="response"), self._toml())

    def _toml(self) -> str:
        lines = [
            "# Camera response of apnt: which linear light a display-referred value stands for.",
            f"format = {FORMAT}",
            f"name = {_quoted(self.name)}",
        ]
        if self.table is not None:
            lines += ["", "[table]  # light ** (1 / 2.2) at evenly spaced values from 0 to 1"]
            for channel, curve in zip(CHANNELS, self.table, strict=True):
                lines.append(f"{channel} = [{', '.join(_number(x) for x in curve)}]")
        return "\n".join(lines) + "\n"

    @classmethod
    def load(cls, path: str | Path) -> Response:
        """Read what :meth:`save` wrote.

        Raises:
            InputError: the file is missing, is no TOML, or holds no response.
        """
        path = Path(path)
        try:
            content = tomllib.loads(read_text(path, "curve"))
        except OSError as error:
            raise InputError(f"{path} cannot be read ({error.strerror}): give a response file") from error
        except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
            raise InputError(f"{path} must be a response file in TOML, and it is not: {error}") from error
        try:
            return cls(*_parse(content))
        except InputError as error:
            raise InputError(f"{path} holds no response: {error}") from error


def response_of(curve: str | os.PathLike[str] | Response) -> Response:
    """The response that a name of :data:`NAMED`, a response file or a :class:`Response` stands for.

    Raises:
        InputError: a name that is none, where no such file exists either, or a file that holds no response.
    """
    if isinstance(curve, Response):
        return curve
    if isinstance(curve, str) and curve in NAMED:
        return Response(curve)
    if not Path(curve).exists():
        missing = ", which does not exist" if is_path(curve) else ""
        raise InputError(
            f"curve must be one of {', '.join(NAMED)} or a response file, got {os.fspath(curve)!r}{missing}"
        )
    return Response.load(Path(curve))


def _parse(content: dict[str, Any]) -> tuple[str, np.ndarray | None]:
    """Name and table from the content of a file; the numbers are checked by :class:`Response`."""
    unknown = sorted(set(content) - {"format", "name", "table"})
    if unknown:
        raise InputError(f"its keys must be format, name and table, and it has {', '.join(unknown)}")
    if content.get("format") != FORMAT or isinstance(content["format"], bool):
        raise InputError(f"format must be {FORMAT}, got {content.get('format', 'none')}")
    name, table = content.get("name"), content.get("table")
    if not isinstance(name, str):
        raise InputError(f"name must be text, got {name!r}")
    if table is None:
        return name, None
    if not isinstance(table, dict) or set(table) != set(CHANNELS):
        raise InputError(f"table must have the keys {', '.join(CHANNELS)}")
    for channel in CHANNELS:
        curve = table[channel]
        if not isinstance(curve, list) or not all(type(x) in (int, float) for x in curve):
            raise InputError(f"table.{channel} must be a list of numbers")
    lengths = [len(table[channel]) for channel in CHANNELS]
    if len(set(lengths)) != 1:
        raise InputError(f"the lists of table must be of one length, got {lengths}")
    return name, np.array([table[channel] for channel in CHANNELS], dtype=np.float64)


def _check_curve(channel: str, curve: np.ndarray) -> None:
    if not np.isfinite(curve).all():
        raise InputError(f"the curve of {channel} must be finite, and it holds NaN or infinity")
    if curve[0] != 0 or curve[-1] != 1:
        raise InputError(f"the curve of {channel} must run from 0 to 1, got {curve[0]:g} to {curve[-1]:g}")
    falls = np.flatnonzero(np.diff(curve) <= 0)
    if len(falls):
        raise InputError(f"the curve of {channel} must increase, and it does not after level {falls[0]}")


def _check_pixels(pixels: np.ndarray) -> None:
    if pixels.ndim == 0 or pixels.shape[-1] != 3:
        raise InputError(f"pixels must have shape (..., 3), got {pixels.shape}")
    if pixels.dtype.kind != "f":
        raise InputError(f"pixels must be float in [0, 1], got {pixels.dtype}")
    if pixels.size == 0:
        return
    low, high = float(pixels.min()), float(pixels.max())
    if not (low >= 0 and high <= 1):  # also where they are NaN
        raise InputError(f"pixels must lie in [0, 1], got {low:g} to {high:g}")


def _in_chunks(pixels: np.ndarray, curve: Callable[[np.ndarray, int], np.ndarray]) -> np.ndarray:
    """Apply ``curve`` to each channel, piece by piece: (..., 3) to float32 of the same shape."""
    flat = np.ascontiguousarray(pixels).reshape(-1, 3)
    out = np.empty(flat.shape, np.float32)
    for start in range(0, len(flat), _CHUNK):
        piece = slice(start, start + _CHUNK)
        for channel in range(3):
            out[piece, channel] = curve(flat[piece, channel].astype(np.float32), channel)
    return out.reshape(pixels.shape)


def _lookup(curve: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Linear interpolation at evenly spaced levels: ten times faster than ``np.interp``, which searches."""
    last = len(curve) - 1
    position = values * np.float32(last)
    index = np.minimum(position.astype(np.int32), last - 1)
    start, step = curve[:-1].astype(np.float32), np.diff(curve).astype(np.float32)
    return np.minimum(start[index] + (position - index) * step[index], np.float32(1))


def _number(value: float) -> str:
    """The shortest text that reads back as the same number, and that TOML takes for a float."""
    text = repr(float(value))
    return text if "." in text or "e" in text else f"{text}.0"


def _quoted(text: str) -> str:
    """A TOML basic string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in escaped) + '"'
