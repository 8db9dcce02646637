"""The methods that fuse and are compared, by name. Their code is imported when one is loaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

import numpy as np

from apnt import defaults
from apnt.bracket import Bracket
from apnt.errors import InputError
from apnt.packaged import packaged

if TYPE_CHECKING:
    import torch

Kind = Literal["radiance", "display"]
"""What a result is: linear radiance in [0, 1], where 1 is the shortest exposure's saturation, or a picture
for a display (exposure fusion), in [0, 1], that holds no radiance."""


class Entry(NamedTuple):
    """A line of :data:`METHODS`.

    Attributes:
        title: what tables call the method.
        kind: of its result.
        source: ``module:function`` under ``apnt.methods``, the method itself, or for a method with weights
            a function called ``load`` or ``load_NAME`` from :class:`Options` to a :class:`Method`.
    """

    title: str
    kind: Kind
    source: str

    @property
    def has_weights(self) -> bool:
        """Whether it is a network, loaded with :class:`Options`."""
        return self.source.partition(":")[2].startswith("load")


METHODS = {
    "medium": Entry("medium exposure", "radiance", "medium:medium"),
    "weighted": Entry("weighted (eq. 1)", "radiance", "weighted:weighted"),
    "align-debevec": Entry("AlignMTB + Debevec", "radiance", "align_debevec:align_debevec"),
    "mertens": Entry("Mertens 2009", "display", "mertens:mertens"),
    "gu12": Entry("Gu 2012 style", "display", "gu12:gu12"),
    "shen14": Entry("Shen 2014", "display", "shen14:shen14"),
    "ma17": Entry("Ma 2017", "display", "ma17:ma17"),
    "li20": Entry("Li 2020", "display", "li20:li20"),
    "li21": Entry("Li 2021", "display", "li21:li21"),
    "sen12": Entry("Sen 2012 style", "radiance", "sen12:sen12"),
    "kalantari17": Entry("Kalantari 2017", "radiance", "compared:load_kalantari17"),
    "wu18": Entry("Wu 2018", "radiance", "compared:load_wu18"),
    "yan19": Entry("Yan 2019", "radiance", "compared:load_yan19"),
    "apnt": Entry("APNT-Fusion", "radiance", "network:load"),
}
"""Name of each method -> what it is."""

ALIASES = {"merge": "weighted", "debevec": "align-debevec"}
"""Other names that methods are asked for by."""

DEFAULT = ("medium", "weighted", "align-debevec", "apnt")
"""The methods that are compared where none are named."""


class Watch(Protocol):
    """Who is told how far the network is with a large picture."""

    def planned(self, sentence: str, tiles: int, seconds: float) -> None:
        """Before the work: how the picture is cut, and what time and memory that is expected to take."""

    def tile(self) -> None:
        """One more tile is done."""


class Options(NamedTuple):
    """What a method with weights is loaded with.

    Attributes:
        weights: a packaged name such as "default", a file, or a Hub id; "default" of a method without
            packaged weights is an error that says how to make them.
        device: such as "cpu" or "cuda:0"; None = that of the model, or the GPU where there is one.
        precision: see :func:`apnt.fuse`; fp32 gives the same numbers everywhere.
        model: a network in place of one with these weights.
        memory: bytes that the process may take, on a GPU that it may take there; our network cuts pictures
            into tiles so that they suffice. None = most of what is free.
        watch: told about plans and tiles.
    """

    weights: str | Path = defaults.WEIGHTS
    device: str | torch.device | None = None
    precision: str = "fp32"
    model: torch.nn.Module | None = None
    memory: int | None = None
    watch: Watch | None = None


_DEFAULTS = Options()


@dataclass(frozen=True)
class Maps:
    """What the network saw in a bracket, at full size.

    Attributes:
        motion: (2, H, W) in [0, 1], motion attention of the short and the long exposure, mean over channels.
        saturation: (H, W) in [0, 1], saturation attention of the medium exposure, mean over channels.
        offset: (H, W, 2) int (dy, dx), from each medium pixel to its partner in the short exposure; None for
            a network that does not match.
        reach: largest offset along one axis that it can find, pixels; 0 for a network that does not match.
        error: (H, W) float32, the absolute error that the network expects of its result after the mu-law;
            None for a network that expects none.
    """

    motion: np.ndarray
    saturation: np.ndarray
    offset: np.ndarray | None
    reach: int = 0
    error: np.ndarray | None = None

    def enlarged(self, size: tuple[int, int]) -> Maps:
        """The maps at the size of the pictures, of a network that looks at reduced ones.

        Args:
            size: height and width of the pictures; the maps have it, or its part by a whole number, rounded
                up.
        """
        factor = -(-size[0] // self.saturation.shape[0])
        if factor == 1:
            return self

        def large(values: np.ndarray) -> np.ndarray:
            """(..., h, w) with each value ``factor`` times in both directions, cut to the size."""
            repeated = values.repeat(factor, axis=-2).repeat(factor, axis=-1)
            return np.ascontiguousarray(repeated[..., : size[0], : size[1]])

        offset = self.offset
        if offset is not None:  # (h, w, 2), in reduced pixels
            offset = np.moveaxis(large(np.moveaxis(offset, -1, 0) * factor), 0, -1)
        return replace(self, motion=large(self.motion), saturation=large(self.saturation), offset=offset)


@dataclass(frozen=True)
class Method:
    """One way to fuse a bracket, ready to run.

    Attributes:
        title: what tables call it.
        fuse: a bracket -> (H, W, 3) float32, what :attr:`kind` says.
        details: what a reader needs to repeat its numbers.
        explain: the same result, and the maps behind it; None for a method that has none.
        kind: of the result.
        frames: how many frames it takes; None = any number. :func:`apnt._fuse.fuse_bracket` chooses as many.
        merges: its result is the noise-weighted merge of the frames where nothing moved, so that they may be
            merged with it there whatever they are.
    """

    title: str
    fuse: Callable[[Bracket], np.ndarray]
    details: dict[str, str] = field(default_factory=dict)
    explain: Callable[[Bracket], tuple[np.ndarray, Maps]] | None = None
    kind: Kind = "radiance"
    frames: int | None = None
    merges: bool = False


def check_method(name: str) -> Entry:
    """What a name stands for.

    Raises:
        InputError: no such method.
    """
    entry = METHODS.get(ALIASES.get(name, name))
    if entry is None:
        raise InputError(f"methods must be of {', '.join(METHODS)}, got {name!r}")
    return entry


def comes_with_package(name: str, weights: str | Path) -> bool:
    """Whether nothing can be wrong with a method's weights: it has none, or those that are installed.

    What else is named is loaded before photographs are read and prepared, so that a mistake shows at once.

    Raises:
        InputError: no such method.
    """
    return not check_method(name).has_weights or (name == "apnt" and str(weights) in packaged())


def load_method(name: str, options: Options = _DEFAULTS) -> Method:
    """Make a method ready to run.

    Args:
        name: one of :data:`METHODS` or :data:`ALIASES`.
        options: of a method with weights; the others have none.

    Raises:
        InputError: no such method, weights, device or precision.
    """
    entry = check_method(name)
    module, _, attribute = entry.source.partition(":")
    function = getattr(import_module(f"apnt.methods.{module}"), attribute)
    if entry.has_weights:
        return function(options)
    return Method(entry.title, function, kind=entry.kind)
