"""Where to compute, and in which number format."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import torch

from apnt.errors import InputError

PRECISIONS = ("auto", "fp32", "bf16")


def use_bf16(precision: str, device: torch.device) -> bool:
    """Whether ``precision`` means bfloat16 on a device; ``"auto"``: where the hardware computes in it.

    Raises:
        InputError: no such precision.
    """
    if precision not in PRECISIONS:
        raise InputError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
    return precision == "bf16" or (precision == "auto" and has_bf16(device))


def has_bf16(device: torch.device) -> bool:
    """Whether the device computes in bfloat16 itself instead of emulating it."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        features = _cpu_features()
        return bool(features.get("avx512_bf16") or features.get("amx_bf16") or features.get("bf16"))
    return False


def warn_of_slow_bf16(device: torch.device) -> None:
    """Say that bfloat16 is slow where it is: PyTorch's fast convolutions in it need AVX-512.

    Without AVX-512, as on AMD's up to Zen 3 and on most of Intel's for desktops, it takes loops of its own.
    """
    if device.type == "cpu" and _cpu_features().get("avx512_f") is False:
        warnings.warn(
            "precision bf16 takes several times as long as fp32 on this processor, which has no AVX-512: "
            "take auto",
            stacklevel=2,
        )


def _cpu_features() -> Mapping[str, object]:
    """What PyTorch says of the processor; nothing, where it is too old to."""
    found: Mapping[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return found


def choose_device(device: str | torch.device | None, model: torch.nn.Module | None = None) -> torch.device:
    """The device that is named; without a name that of ``model``, or CUDA where there is one.

    Raises:
        InputError: a device that cannot be used here.
    """
    if device is None:
        parameter = next(model.parameters(), None) if model is not None else None
        if parameter is not None:
            return parameter.device
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        place = torch.device(device)
        torch.zeros(1, device=place).item()  # some devices parse and then hold nothing
    except Exception as error:  # RuntimeError, AssertionError, and for devices of others ModuleNotFoundError
        reason = str(error).split("\n")[0].split(". ")[0]
        raise InputError(f"device must be usable here, and {device} is not ({reason}): try cpu") from error
    return place
