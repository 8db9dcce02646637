"""The time that a match or a transfer would take on an H200, by three limits: instructions, tensor-core
products, bytes.

Of each kernel some blocks in the middle of a low map of full width are interpreted and counted; the host code
says how many there are at full size. A kernel takes the longer of

    slots / (132 multiprocessors * 2.5 warp instructions a clock * 1.755 GHz),
    products / (132 multiprocessors * 0.62 a clock * 1.755 GHz)    and    bytes / (4.3 TB/s),

and kernels follow each other. A product is an ``mma`` of 16 x 8 x 16 half-precision or 16 x 8 x 8 tf32
numbers, of which the tensor cores could do one a clock. 2.5 of the 4 slots of a clock, 0.62 of the
products, and the rate of the memory are what kernels like these reach in public measurements; launches,
latencies and the last wave of blocks are left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from .gpu import Gpu
from .host import Launch, Zero
from .memory import BASE, WRITTEN
from .parse import Kernel
from .questions import offsets

SLOTS_A_SECOND = 132 * 2.5 * 1.755e9
PRODUCTS_A_SECOND = 132 * 0.62 * 1.755e9
BYTES_A_SECOND = 4.3e12
SECTOR = 32  # bytes
ENOUGH_TILES = 1056  # of 8 x 32 pixels, from which on patch_swap does not share out channels


def format_of(channels_last: bool) -> torch.memory_format:
    return torch.channels_last if channels_last else torch.contiguous_format


@dataclass(frozen=True)
class Level:
    """One match: features (1, C, h, w), channels-last or not, with a centre for each 2 x 2 pixels where
    ``centres``."""

    name: str
    channels: int
    h: int
    w: int
    radius: int
    centres: bool
    dtype: torch.dtype
    tf32: bool = False
    channels_last: bool = True

    def inputs(self) -> tuple[Tensor, Tensor, Tensor | None]:
        torch.manual_seed(0)
        shape = (1, self.channels, self.h, self.w)
        source, target = (torch.randn(shape).to(self.dtype, memory_format=self.format) for _ in range(2))
        return source, target, self.center()

    @property
    def format(self) -> torch.memory_format:
        return format_of(self.channels_last)

    def center(self) -> Tensor | None:
        if not self.centres:
            return None
        coarse = torch.randint(-2, 3, (1, 2, -(-self.h // 2), -(-self.w // 2)))
        return (
            coarse.repeat_interleave(2, 2).repeat_interleave(2, 3)[..., : self.h, : self.w].int().contiguous()
        )


def levels(
    channels: tuple[int, int, int], dtype: torch.dtype, h: int = 1000, w: int = 1500, tf32: bool = False
) -> list[Level]:
    """Of a three-level match, the coarsest first; ``channels`` of levels 0, 1 and 2."""
    return [
        Level("level 2", channels[2], h // 4, w // 4, 8, False, dtype, tf32),
        Level("level 1", channels[1], h // 2, w // 2, 2, True, dtype, tf32),
        Level("level 0", channels[0], h, w, 2, True, dtype, tf32),
    ]


@dataclass(frozen=True)
class Transfer:
    """One transfer of features (1, C, h, w), or its gradient by atomics where ``backward``.

    Attributes:
        field: of :func:`questions.offsets`.
    """

    name: str
    channels: int
    h: int
    w: int
    dtype: torch.dtype
    backward: bool = False
    channels_last: bool = True
    field: str = "quads"

    def shaped(self, h: int, device: str = "cpu") -> Tensor:
        layout = format_of(self.channels_last)
        return torch.empty(1, self.channels, h, self.w, dtype=self.dtype, device=device, memory_format=layout)

    def run(self, gpu: Gpu, features: Tensor) -> None:
        torch.manual_seed(0)
        offset = offsets(self.field, 1, *features.shape[2:])
        (gpu.patch_swap_backward if self.backward else gpu.patch_swap)(features, offset)


def transfers(dtype: torch.dtype, backward: bool, channels_last: bool, field: str) -> list[Transfer]:
    """Those of a fuse of 1000 x 1500 pixels, the coarsest first."""
    scales = ((2, 128), (1, 96), (0, 64))
    return [
        Transfer(f"scale {i}", c, 1000 >> i, 1500 >> i, dtype, backward, channels_last, field)
        for i, c in scales
    ]


@dataclass(frozen=True)
class Cost:
    """Of one kernel of one level."""

    kernel: str
    blocks: int
    slots: float  # of one block
    products: float  # of one block
    bytes: float  # of all blocks

    @property
    def issue(self) -> float:
        """Seconds."""
        return self.slots * self.blocks / SLOTS_A_SECOND

    @property
    def tensor(self) -> float:
        """Seconds."""
        return self.products * self.blocks / PRODUCTS_A_SECOND

    @property
    def memory(self) -> float:
        """Seconds."""
        return self.bytes / BYTES_A_SECOND

    @property
    def seconds(self) -> float:
        return max(self.issue, self.tensor, self.memory)


@dataclass
class _Recorder(Gpu):
    """Writes launches down; nothing is allocated and nothing runs."""

    size: int = 16
    arrays: list[int] = field(default_factory=list)  # sizes in bytes
    cleared: int = 0  # bytes

    def __post_init__(self) -> None:
        super().__post_init__()
        self.sample = lambda launch: ()
        self.device.allocate = self._allocate  # type: ignore[method-assign]

    def _allocate(self, size: int, shift: int = 0, gap: int = 0) -> int:
        self.arrays.append(size)
        return BASE + len(self.arrays) * 2**40

    def put(self, tensor: Tensor, shift: int | None = None) -> int:
        return self._allocate(tensor.element_size() * tensor.numel())

    def clear(self, step: Zero) -> None:
        self.cleared += step.size

    def launch(self, kernel: Kernel, launch: Launch) -> None:
        self.launches.append(launch)


@dataclass
class _Sampler(Gpu):
    """Runs six blocks in the middle of each launch and keeps what they touch."""

    races: bool = False
    arrays: list[tuple[int, int]] = field(default_factory=list)  # address, bytes
    touched: list[list[int]] = field(default_factory=list)  # of each launch: sectors of a block in each array

    def __post_init__(self) -> None:
        super().__post_init__()
        self.sample = lambda launch: {min(launch.grid[0] - 1, launch.grid[0] // 2 + i) for i in range(2, 8)}
        allocate = self.device.allocate

        def kept(size: int, shift: int = 0, gap: int = 512) -> int:
            address = allocate(size, shift, gap)
            self.arrays.append((address, size))
            # What kernels whose blocks do not run would have written.
            self.fill(len(self.arrays) - 1, 1.0)
            return address

        self.device.allocate = kept  # type: ignore[method-assign]

    def fill(self, number: int, value: float) -> None:
        address, size = self.arrays[number]
        at = address - BASE
        words = self.device.bytes[at : at + size // 4 * 4].view(np.float32)
        words[:] = value
        self.device.state[at : at + size] = WRITTEN

    def launch(self, kernel: Kernel, launch: Launch) -> None:
        # The offsets are the first array: no pixel is left to the kernel that takes what others leave.
        address, size = self.arrays[0]
        self.device.bytes[address - BASE : address - BASE + size] = 0
        self.device.touched = []
        super().launch(kernel, launch)
        sectors = np.unique(np.concatenate([x // SECTOR for x in self.device.touched]))
        starts = np.array([(address - BASE) // SECTOR for address, _ in self.arrays])
        owner = np.searchsorted(starts, sectors, side="right") - 1
        ran = len(set(self.sample(launch)))  # type: ignore[misc]
        self.touched.append((np.bincount(owner, minlength=len(self.arrays)) / ran).tolist())
        self.device.touched = None


def costs(level: Level) -> list[Cost]:
    """Every kernel that a match of this level launches, in order."""
    full = _Recorder()
    shape = (1, level.channels, level.h, level.w)
    shaped = torch.empty(shape, dtype=level.dtype, device="meta", memory_format=level.format)
    full.window_match(shaped, shaped, level.center(), radius=level.radius, tf32=level.tf32)
    return counted(full, sampled(level))


def sampled(level: Level, banks: bool = False) -> _Sampler:
    """Some blocks of a level that is low, but of full width."""
    low = replace(level, h=min(level.h, 56))
    some = _Sampler(size=160 << 20, banks=banks)
    some.window_match(*low.inputs(), radius=level.radius, tf32=level.tf32)
    return some


def transfer_costs(transfer: Transfer) -> list[Cost]:
    """Every kernel that a transfer launches, and the clearing of sums; additions read and write them."""
    full = _Recorder()
    transfer.run(full, transfer.shaped(transfer.h, "meta"))
    # Low, but with so many tiles that they have all channels, as at full size.
    low = min(transfer.h, -(-ENOUGH_TILES // -(-transfer.w // 32)) * 8)
    features = transfer.shaped(low).fill_(1)
    some = _Sampler(size=(16 << 20) + 12 * features.numel())  # with sums in float32
    transfer.run(some, features)
    found = counted(full, some)
    if full.cleared:
        scatter = replace(found[0], bytes=found[0].bytes + full.cleared)
        found = [Cost("set_zero", 0, 0, 0, full.cleared), scatter, *found[1:]]
    return found


def counted(full: _Recorder, some: _Sampler) -> list[Cost]:
    """From what a call launches at full size, and some blocks of a smaller one."""
    found = []
    for launch, part, touched in zip(full.launches, some.launches, some.touched, strict=True):
        assert launch.kernel == part.kernel
        blocks, ran = int(np.prod(launch.grid)), len(set(some.sample(part)))  # type: ignore[misc]
        moved = sum(
            min(size, sectors * SECTOR * blocks) for size, sectors in zip(full.arrays, touched, strict=True)
        )
        # One kernel may be launched several times, for the source and for the target.
        times = sum(other.kernel == part.kernel for other in some.launches)
        slots = some.report.slots(part.kernel) / ran / times
        products = some.report.categories(part.kernel)["mma"] / ran / times
        found.append(Cost(short(launch.kernel), blocks, slots, products, moved))
    return found


def short(name: str) -> str:
    """A kernel's own name, and its types."""
    found = re.search(r"_cu_[0-9a-f]{8}_?\d+([a-z_]+)(I.*)?E", name)
    if found is None:
        return name
    types = {"f": "float", "6__half": "half", "13__nv_bfloat16": "bfloat16", "d": "double"}
    kind = re.search(r"I(f|d|6__half|13__nv_bfloat16)(Lb1)?[EL]", found[2] or "")
    split = found[1] in ("shared_kernel", "quads_kernel") and kind is not None and kind[2] is not None
    return " ".join(
        part for part in (found[1], types[kind[1]] if kind else "", "split" if split else "") if part
    )
