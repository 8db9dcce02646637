"""How much memory brackets take, known before the work from the sizes of their photographs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from apnt.batch.plan import Bracket
from apnt.batch.settings import Settings
from apnt.budget import shown
from apnt.errors import InputError
from apnt.scratch import HELD_AT_MOST

if TYPE_CHECKING:
    from apnt.nn.config import APNTConfig

# Measured; `benchmarks/batch.py forecast` shows whether they hold.
_PROCESS = 400 << 20  # bytes of a process with PyTorch and a network
_PREPARED = 36, 90  # bytes a pixel while photographs are prepared: of each frame, and beside them
_FUSED = 20, 12  # the same while the network works, beside what that takes
_SEEN = 24  # bytes a pixel of what the network saw, which is kept for a report
_REPORTED = 14, 160  # the same as above while the page is made, with what the network saw
_PAGE = 512 << 20, 80  # bytes while it is made where frames lie in files, and bytes a pixel
_WHOLE = 16  # bytes a pixel where frames lie in files: what cannot be cut


@dataclass(frozen=True)
class Network:
    """What the network takes beside the frames.

    Attributes:
        config: its configuration; None = of another method, which is not known to take more than frames do.
        item: bytes of a number in its features.
        report: a page is made, for which what it saw is kept.
    """

    config: APNTConfig | None = None
    item: int = 4
    report: bool = False

    def bounds(self, bracket: Bracket) -> tuple[int, int]:
        """Bytes with the smallest and with the largest tiles."""
        if self.config is None:
            return 0, 0
        from apnt.nn.tiles import bounds

        return bounds(self.config, bracket.size, self.item)


def network_of(settings: Settings) -> Network:
    """The network that settings name, on the processor; on a GPU it takes none of its memory."""
    from apnt.device import choose_device, use_bf16
    from apnt.nn.checkpoint import OURS, find, packaged_for, read

    device = choose_device(settings.device)
    if settings.method != OURS or device.type != "cpu":
        return Network(report=settings.report)
    path = find(settings.weights) or packaged_for(OURS)  # on the Hub: about as the packaged one
    if path is None:
        return Network(report=settings.report)
    return Network(read(path)[0], 2 if use_bf16(settings.precision, device) else 4, settings.report)


@dataclass(frozen=True)
class Need:
    """What the brackets of a batch take in a process that may take so many bytes.

    Attributes:
        there: bytes that it may take.
        least: bytes without which one of the brackets cannot be fused.
        most: bytes that it takes at most.
        limits: for each bracket, bytes that it is limited to, which has its frames lie in files
            (:mod:`apnt.scratch`); None where they fit into memory.
    """

    there: int
    least: int
    most: int
    limits: list[int | None]


def need_of(brackets: Sequence[Bracket], network: Network, there: int) -> Need:
    """What brackets take.

    Args:
        brackets: at least one.
        network: that fuses them.
        there: bytes that may be taken.

    Raises:
        InputError: a bracket takes more, even with its frames in files.
    """
    least, most, limits = 0, 0, []
    for bracket in brackets:
        smallest, largest = network.bounds(bracket)
        whole, files = (
            _in_memory(bracket, smallest, network.report),
            _in_files(bracket, smallest, network.report),
        )
        needed = min(whole, files)
        if needed > there:
            raise InputError(
                f"memory must be at least {shown(needed)} for {bracket.name} ({size_of(bracket)}), and "
                f"{shown(there)} may be taken: make room, raise --memory, or leave it out with --groups"
            )
        limits.append(None if whole <= there else there)
        least = max(least, needed)
        takes = _in_memory if whole <= there else _in_files
        most = max(most, min(there, takes(bracket, largest, network.report)))
    return Need(there, least, most, limits)


def size_of(bracket: Bracket) -> str:
    """``"3 x 6000 x 4000 pixels"``: how many frames of which width and height."""
    height, width = bracket.size
    return f"{len(bracket.shots)} x {width} x {height} pixels"


def _in_memory(bracket: Bracket, network: int, report: bool) -> int:
    """Bytes of a process that holds all frames in memory, with a network that takes so many."""
    prepared, fused, reported = (
        bracket.pixels * (frame * len(bracket.shots) + picture)
        for frame, picture in (_PREPARED, _FUSED, _REPORTED)
    )
    if report:
        return _PROCESS + max(prepared, fused + bracket.pixels * _SEEN + network, reported)
    return _PROCESS + max(prepared, fused + network)


def _in_files(bracket: Bracket, network: int, report: bool) -> int:
    """The same where they lie in files."""
    page, pixel = _PAGE
    after = page + bracket.pixels * pixel if report else 0
    return _PROCESS + HELD_AT_MOST + max(bracket.pixels * _WHOLE + network, after)
