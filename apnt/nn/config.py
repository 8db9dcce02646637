"""Every choice that the network leaves open, with the paper's ablations as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args, get_type_hints

from apnt.errors import InputError

from typing import Literal  # isort: skip

NETWORK_INPUTS = Literal["hdr", "ldr+hdr", "ldr+mu"]
MATCH_INPUTS = Literal["display", "linear", "mu-law"]
MATCH_FEATURES = Literal["learned", "vgg19", "encoder"]
NORMALIZATIONS = Literal["search", "cosine", "paper", "none"]


@dataclass(frozen=True)
class APNTConfig:
    """Configuration of :class:`apnt.nn.APNTFusion`.

    Attributes:
        channels: features at full, half and quarter size.
        mef_blocks: channel attention blocks of the multi-exposure fusion stream.
        reduction: of the channel attention.
        input: what the exposure features see: radiance ``H_k`` (paper), ``I_k`` beside it, or ``I_k`` beside
            the mu-law picture of ``H_k``.
        vgg_input: domain of the pictures that are matched.
        normalize: of the patch similarity, see :func:`apnt.ops.window_match`.
        radii: search radius at full, half and quarter size; the coarsest level that is matched takes the
            last.
        patch_size: of matching and swapping.
        clue_gate: eq. 9 with the attentions' logits, or (``"paper"``) with their sigmoids.
        output: eq. 14 in the mu-law domain, starting from the medium exposure, or (``"paper"``) eq. 14
            itself.
        aligned: also align the short and the long exposure with the match, feed them to the fusion stream in
            place of the raw ones, and offer them to the output's mixture. Beyond the paper.
        ms_hdr: match in the masked saturated domain. Table II "w/o MS-HDR" is False.
        transfer: swap features by the match. Table II "w/o NFT" is False.
        match_levels: scales that are matched. Table II "w/o VGG-L2L3" is ``(0,)``.
        match_features: Psi. Table II "w/o VGG w F_enc" is ``"encoder"``.
        motion_attention, scale_attention: Table II "w/o Motion Att." and "w/o Scale Att." are False.
        gamma: of eq. 3.
        threshold: LDR value from which a pixel counts as saturated.
    """

    channels: tuple[int, int, int] = (64, 64, 64)
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
    ms_hdr: bool = True
    transfer: bool = True
    match_levels: tuple[int, ...] = (0, 1, 2)
    match_features: MATCH_FEATURES = "learned"
    motion_attention: bool = True
    scale_attention: bool = True
    gamma: float = 2.2
    threshold: float = 0.95

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for name in ("channels", "radii", "match_levels"):  # JSON has lists only
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for name, hint in hints.items():
            allowed = get_args(hint)
            if allowed and isinstance(allowed[0], str) and getattr(self, name) not in allowed:
                raise InputError(f"{name} must be one of {list(allowed)}, got {getattr(self, name)!r}")
        if len(self.channels) != 3 or min(self.channels) < 1:
            raise InputError(f"channels must be three positive numbers, got {self.channels}")
        if len(self.radii) != 3 or min(self.radii) < 0:
            raise InputError(f"radii must be three numbers from 0, got {self.radii}")
        levels = self.match_levels
        if not levels or 0 not in levels or list(levels) != sorted(set(levels)) or levels[-1] > 2:
            raise InputError(f"match_levels must be (0,), (0, 1), (0, 2) or (0, 1, 2), got {levels}")
        if self.patch_size < 1 or self.patch_size % 2 == 0:
            raise InputError(f"patch_size must be odd and positive, got {self.patch_size}")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> APNTConfig:
        """Build from a dictionary, refusing keys that do not exist."""
        unknown = sorted(set(values) - set(cls.__dataclass_fields__))
        if unknown:
            raise InputError(f"config must hold fields of APNTConfig, got the unknown {unknown}")
        return cls(**values)
