"""Configuration of the network: its design choices, with the paper's ablations as values."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, get_args, get_type_hints

from apnt.camera import GAMMA, SATURATION
from apnt.errors import InputError

if TYPE_CHECKING:
    from typing_extensions import Self

NETWORK_INPUTS = Literal["hdr", "ldr+hdr", "ldr+mu"]
MATCH_INPUTS = Literal["display", "linear", "mu-law"]
MATCH_FEATURES = Literal["learned", "vgg19", "encoder"]
NORMALIZATIONS = Literal["search", "cosine", "paper", "none"]


_BOUNDS: dict[str, tuple[float, float]] = {
    "channels": (1, 4096),
    "mef_blocks": (1, 256),
    "confidence_channels": (0, 4096),
    "reduction": (1, 4096),
    "radii": (0, 1024),
    "patch_size": (1, 31),
    "gamma": (0.01, 100.0),
}
"""What a network may ask for; far beyond what is useful, and before any memory is asked for."""

_LONGEST = 1 << 20
"""Pixels; no picture has a longer side."""


class Config:
    """What the configurations of all networks share: frozen dataclasses whose values are checked."""

    def __post_init__(self) -> None:
        for name, hint in get_type_hints(type(self)).items():
            value, allowed = getattr(self, name), get_args(hint)
            if isinstance(value, list):  # JSON and TOML have no tuples
                value = tuple(value)
                object.__setattr__(self, name, value)
            if allowed and isinstance(allowed[0], str):
                if value not in allowed:
                    raise InputError(f"{name} must be one of {list(allowed)}, got {shortened(value)}")
            elif allowed:
                if not isinstance(value, tuple) or not all(type(part) is int for part in value):
                    raise InputError(f"{name} must be whole numbers, got {shortened(value)}")
            elif type(value) is not hint and not (hint is float and type(value) is int):
                raise InputError(f"{name} must be of type {hint.__name__}, got {shortened(value)}")
        self.check()

    def check(self) -> None:
        """Refuse values of the right type that cannot be.

        Raises:
            InputError: there is one.
        """

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Build from a dictionary of fields.

        Raises:
            InputError: not a dictionary, a field that does not exist, or a value that a field cannot have.
        """
        if not isinstance(values, dict):
            raise InputError(f"config must be a table of fields, got {shortened(values)}")
        known = {f.name for f in fields(cls)}  # type: ignore[arg-type]
        unknown = sorted(set(values) - known)
        if unknown:
            raise InputError(
                f"config must hold fields of {cls.__name__}, got the unknown {shortened(unknown)}"
            )
        return cls(**values)


@dataclass(frozen=True)
class APNTConfig(Config):
    """Configuration of :class:`apnt.nn.APNTFusion`.

    Attributes:
        channels: features at full, half and quarter size.
        stride: 1, or 2 for a fast network: pixel unshuffling makes channels of 2x2 pixels, so that it runs
            at half size; its predictions are shuffled back, and the exposures it mixes stay at full size,
            aligned by a last match of the pictures. Beyond the paper.
        mef_blocks: channel attention blocks of the multi-exposure fusion stream.
        reduction: of the channel attention.
        input: of the exposure features: radiance ``H_k`` (paper), ``I_k`` and ``H_k``, or ``I_k`` and
            ``H_k`` after the mu-law.
        vgg_input: domain of the pictures that are matched.
        normalize: of the patch similarity, see :func:`apnt.ops.window_match`.
        radii: search radius at full, half and quarter size; the coarsest level that is matched takes the
            last.
        patch_size: of matching and swapping.
        clue_gate: eq. 9 with the attentions' logits, or (``"paper"``) with their sigmoids.
        output: eq. 14 in the mu-law domain, starting from the medium exposure, or (``"paper"``) eq. 14
            itself.
        aligned: also align the short and the long exposure with the match, feed them to the fusion stream in
            place of the raw ones, and add them to the output's mixture. Beyond the paper.
        subpixel: align by fractions of a pixel (:mod:`apnt.nn.subpixel`) for the output's mixture; features
            are swapped by whole offsets. Beyond the paper, as the next four.
        reach: pictures with a side longer than this, pixels with the border, are halved until they are not,
            matched there, and searched from there at each finer size with the second radius; 0 = never.
        consistency: the fusion stream also sees how far the aligned exposures can be believed: whether
            matches are mutual, how far they differ from the medium exposure, where they saturate, and the
            spacing.
        merge: the output's mixture has one more candidate, the noise-weighted merge of the medium and the
            aligned exposures.
        confidence: an expected error beside the result.
        confidence_channels: of two layers before it; 0 = none, it is one convolution of the fused features.
        border: pixels of the picture, reflected, that are laid around it before the network: without them
            convolutions see zeros in the border's stead. 0 or 8, which all scales divide.
        ms_hdr: match in the masked saturated domain. Table II "w/o MS-HDR" is False.
        transfer: swap features by the match. Table II "w/o NFT" is False.
        match_levels: scales that are matched. Table II "w/o VGG-L2L3" is ``(0,)``.
        match_features: the matching features Psi_l. Table II "w/o VGG w F_enc" is ``"encoder"``.
        propagate: matches of neighbours are tried, too, and with ``reach`` the pixel's own place
            (:func:`apnt.nn.matching.propagated`). Beyond the paper.
        flow: matches with the short exposure give way to a smooth motion that is drawn from them, where that
            is more likely right (:class:`apnt.nn.flow.MatchFlow`). Beyond the paper.
        match_dilations: of the learned matching features' convolutions at quarter size, one after the other.
        motion_attention, scale_attention: Table II "w/o Motion Att." and "w/o Scale Att." are False.
        gamma: of eq. 3.
        threshold: display-referred value from which a pixel counts as saturated.
    """

    channels: tuple[int, int, int] = (64, 64, 64)
    stride: int = 1
    mef_blocks: int = 6
    reduction: int = 16
    input: NETWORK_INPUTS = "ldr+hdr"
    vgg_input: MATCH_INPUTS = "display"
    normalize: NORMALIZATIONS = "search"
    radii: tuple[int, int, int] = (2, 2, 8)
    patch_size: int = 3
    clue_gate: Literal["logits", "paper"] = "logits"
    output: Literal["residual", "paper"] = "residual"
    aligned: bool = False
    subpixel: bool = False
    reach: int = 0
    consistency: bool = False
    merge: bool = False
    confidence: bool = False
    confidence_channels: int = 0
    border: int = 0
    ms_hdr: bool = True
    transfer: bool = True
    match_levels: tuple[int, ...] = (0, 1, 2)
    match_features: MATCH_FEATURES = "learned"
    match_dilations: tuple[int, ...] = (1, 2, 4, 8)
    propagate: bool = False
    flow: bool = False
    motion_attention: bool = True
    scale_attention: bool = True
    gamma: float = GAMMA
    threshold: float = SATURATION

    def check(self) -> None:
        for name, (low, high) in _BOUNDS.items():
            value = getattr(self, name)
            parts = value if isinstance(value, tuple) else (value,)
            if isinstance(value, tuple) and len(value) != 3:
                raise InputError(f"{name} must be three numbers, got {shortened(value)}")
            if not all(low <= part <= high for part in parts):
                what = "three numbers " if isinstance(value, tuple) else ""
                raise InputError(f"{name} must be {what}from {low:g} to {high:g}, got {shortened(value)}")
        if self.match_levels not in ((0,), (0, 1), (0, 2), (0, 1, 2)):
            raise InputError(
                f"match_levels must be (0,), (0, 1), (0, 2) or (0, 1, 2), got {self.match_levels}"
            )
        if not (len(self.match_dilations) <= 16 and all(1 <= by <= 64 for by in self.match_dilations)):
            raise InputError(
                "match_dilations must be at most 16 numbers from 1 to 64, got "
                f"{shortened(self.match_dilations)}"
            )
        if self.patch_size < 1 or self.patch_size % 2 == 0:
            raise InputError(f"patch_size must be odd and positive, got {self.patch_size}")
        if self.stride not in (1, 2):
            raise InputError(f"stride must be 1 or 2, got {self.stride}")
        if self.border not in (0, 8):
            raise InputError(f"border must be 0 or 8, got {self.border}")
        if self.aligned and not self.transfer:
            raise InputError(
                "aligned must be False where transfer is False: without a match nothing is aligned"
            )
        for name in ("subpixel", "consistency", "merge"):
            if getattr(self, name) and not self.aligned:
                raise InputError(
                    f"{name} must be False where aligned is False: it works on aligned exposures"
                )
        if self.reach and (not 64 <= self.reach <= _LONGEST or self.match_features == "encoder"):
            raise InputError(
                f"reach must be 0, or from 64 to {_LONGEST} with matching features that take pictures (not "
                f"'encoder'), got {shortened(self.reach)} with {self.match_features!r}"
            )
        for name in ("reach", "consistency"):
            if getattr(self, name) and self.match_levels != (0, 1, 2):
                raise InputError(f"{name} must be off unless all levels are matched, got {self.match_levels}")
        if self.flow and (self.match_features != "learned" or self.match_levels != (0, 1, 2)):
            raise InputError(
                "flow must be False unless match_features is 'learned' and all levels are matched, got "
                f"{self.match_features!r} and {self.match_levels}"
            )
        if self.flow and (self.subpixel or self.consistency):
            raise InputError(
                "flow must be False where subpixel or consistency is True: both are of the match alone"
            )
        if self.confidence_channels and not self.confidence:
            raise InputError(
                f"confidence_channels must be 0 where confidence is False, got {self.confidence_channels}"
            )
        if not 0 < self.threshold < 1:
            raise InputError(f"threshold must lie between 0 and 1, got {self.threshold}")


def shortened(value: object) -> str:
    """A value for a message, which a file may have made as long as it likes."""
    try:
        text = repr(value)
    except ValueError:  # integers of thousands of digits are not printed
        text = "a number of thousands of digits"
    return text if len(text) <= 80 else text[:80] + "..."
