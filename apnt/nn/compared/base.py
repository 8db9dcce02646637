"""What the compared networks have in common: arguments and result of a forward pass, and their files."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

from torch import Tensor, nn

from apnt.nn import checkpoint
from apnt.nn.config import Config
from apnt.nn.inputs import check_bracket, pad


@dataclass(frozen=True)
class ComparedConfig(Config):
    """Configuration of a compared network."""


ConfigT = TypeVar("ConfigT", bound=ComparedConfig)


class ComparedNetwork(nn.Module, Generic[ConfigT]):
    """A network that takes and returns what :class:`apnt.nn.APNTFusion` does.

    Args:
        config: its widths; None builds the paper's network.

    Attributes:
        name: by which recipes, files and methods know it.
        config_type: of its configuration.
        step: sizes that it takes itself are multiples of this.
    """

    name: ClassVar[str]
    config_type: ClassVar[type[ComparedConfig]]
    step: ClassVar[int] = 1

    def __init__(self, config: ConfigT | None = None):
        super().__init__()
        self.config: ConfigT = config or self.config_type()  # type: ignore[assignment]
        self.build(self.config)

    @abstractmethod
    def build(self, config: ConfigT) -> None:
        """Make the layers, with their first weights."""

    @abstractmethod
    def fuse(self, ldr: Tensor, times: Tensor) -> Tensor:
        """:meth:`forward` without its checks: H and W are multiples of ``step``, the shortest time is 1."""

    def forward(self, ldr: Tensor, times: Tensor) -> Tensor:
        """Fuse brackets.

        Args:
            ldr: (N, 3, 3, H, W) exposures short to long, RGB, display-referred in [0, 1]; H and W from 16.
            times: (N, 3) exposure times in any unit, ascending.

        Returns:
            (N, 3, H, W) float32 linear radiance, where the short exposure saturates at 1: in [0, 1] in
            evaluation mode, not clamped in training mode.

        Raises:
            InputError: wrong rank, channels, size or type.
        """
        check_bracket(ldr, times)
        height, width = ldr.shape[-2:]
        times = times.float() / times.float().amin(dim=1, keepdim=True)
        radiance = self.fuse(pad(ldr.float(), self.step), times)[..., :height, :width].float()
        return radiance if self.training else radiance.clamp(0, 1)

    def save(self, path: str | Path, note: dict[str, str] | None = None) -> None:
        """Write weights, name and configuration as one ``.safetensors`` file.

        Args:
            path: of the file; an existing one is replaced in one step or left whole.
            note: further entries of its header.
        """
        checkpoint.write(Path(path), self.config, self.state_dict(), note, self.name)
