"""Questions for the operators, made from a seed, and their answers by the interpreter compared with the
reference."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from apnt import reference, testing

from .gpu import Gpu

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
NORMS = ("search", "cosine", "paper", "none")
CENTERS = ("none", "same", "blocks", "random", "wild")
FIELDS = ("near", "smooth", "quads", "one", "tile", "wild")


def offsets(field: str, n: int, h: int, w: int) -> Tensor:
    """Offsets near zero; one for all; one for 2 x 2 pixels; all to one pixel, or into one tile of 8 x 32; any
    int32."""
    place = torch.stack(torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij"))
    if field == "smooth":
        offset = torch.ones(n, 2, h, w)
    elif field == "quads":
        coarse = torch.randint(-2, 3, (n, 2, -(-h // 2), -(-w // 2)))
        offset = coarse.repeat_interleave(2, 2).repeat_interleave(2, 3)[..., :h, :w].contiguous()
    elif field == "one":
        offset = (torch.tensor([h // 2, w // 3]).view(2, 1, 1) - place)[None].repeat(n, 1, 1, 1)
    elif field == "tile":
        within = torch.stack([torch.randint(min(8, h), (n, h, w)), torch.randint(min(32, w), (n, h, w))], 1)
        offset = within - place
    elif field == "wild":
        offset = torch.randint(-(2**31), 2**31, (n, 2, h, w))
    else:
        offset = torch.randint(-4, 5, (n, 2, h, w))
    return offset.int()


@dataclass(frozen=True)
class Match:
    """A match, and its gradient where ``backward``.

    Attributes:
        center: none; one for all; one for 2 x 2 pixels; one a pixel; far outside of the image.
        ties: whole numbers, whose scores are exact, so that the tie rule decides.
        shift: bytes by which features are not aligned.
        last: features lie in memory as (N, H, W, C).
        field: the gradient alone, at such offsets.
    """

    size: tuple[int, int, int, int]  # (N, C, H, W)
    dtype: torch.dtype = torch.float32
    radius: int = 2
    patch: int = 3
    norm: str = "search"
    center: str = "none"
    tf32: bool = False
    ties: bool = False
    shift: int = 0
    shared: int = 227 * 1024
    backward: bool = False
    deterministic: bool = False
    seed: int = 0
    last: bool = False
    field: str | None = None

    def inputs(self) -> tuple[Tensor, Tensor, Tensor | None]:
        torch.manual_seed(self.seed)
        shape = self.size
        source, target = torch.randint(-1, 2, (2, *shape)).float() if self.ties else torch.randn(2, *shape)
        layout = torch.channels_last if self.last else torch.contiguous_format
        source, target = (x.to(self.dtype).to(memory_format=layout) for x in (source, target))
        return source, target, self.centers()

    def centers(self) -> Tensor | None:
        n, _, h, w = self.size
        if self.center == "none":
            return None
        if self.center == "same":
            return torch.tensor([3, -2], dtype=torch.int32).view(1, 2, 1, 1).repeat(n, 1, h, w)
        if self.center == "blocks":
            coarse = torch.randint(-3, 4, (n, 2, -(-h // 2), -(-w // 2)))
            fine = coarse.repeat_interleave(2, 2).repeat_interleave(2, 3)[:, :, :h, :w]
            return fine.int().contiguous()
        reach = 4 if self.center == "random" else 40
        return torch.randint(-reach, reach + 1, (n, 2, h, w), dtype=torch.int32)

    def check(self, gpu: Gpu | None = None) -> Gpu:
        """Asks and compares.

        Raises:
            AssertionError: the answer is wrong.
            Fault: a kernel does what it must not.
        """
        gpu = Gpu() if gpu is None else gpu
        gpu.shared, gpu.shift = self.shared, self.shift
        gpu.order = np.random.default_rng(self.seed)
        source, target, center = self.inputs()
        if self.field is not None:
            self.check_gradient(gpu, source, target, offsets(self.field, *source.shape[::2], source.shape[3]))
            return gpu
        offset, score = gpu.window_match(
            source, target, center, radius=self.radius, tf32=self.tf32, **self.options
        )
        tolerance = testing.TF32_SCORE_TOLERANCE if self.tf32 else None
        testing.check_window_match(
            offset, score, source, target, center, radius=self.radius, tolerance=tolerance, **self.options
        )
        if self.ties and self.norm in ("none", "paper"):
            best, _ = reference.window_match(
                source.double(), target.double(), center, radius=self.radius, **self.options
            )
            assert torch.equal(offset, best), (
                f"the tie rule: {int((offset != best).any(1).sum())} pixels differ"
            )
        if self.backward:
            self.check_gradient(gpu, source, target, offset)
        return gpu

    @property
    def options(self) -> dict[str, Any]:
        return {"patch_size": self.patch, "normalize": self.norm}

    def check_gradient(self, gpu: Gpu, source: Tensor, target: Tensor, offset: Tensor) -> None:
        grad = torch.randn(offset[:, 0].shape)
        found = gpu.window_match_backward(
            grad, source, target, offset, deterministic=self.deterministic, **self.options
        )
        testing.check_window_match_gradient(
            tuple(x for x in found if x is not None), grad, source, target, offset,
            tolerance=testing.GRADIENT_TOLERANCE[torch.float32], **self.options,
        )  # fmt: skip


@dataclass(frozen=True)
class Swap:
    """A transfer of features, and its gradient where ``backward``.

    Attributes:
        field: of :func:`offsets`.
        shift, last: as of :class:`Match`.
    """

    size: tuple[int, int, int, int]  # (N, C, H, W)
    dtype: torch.dtype = torch.float32
    patch: int = 3
    field: str = "near"
    shift: int = 0
    backward: bool = False
    deterministic: bool = False
    seed: int = 0
    last: bool = False

    def inputs(self) -> tuple[Tensor, Tensor]:
        torch.manual_seed(self.seed)
        n, _, h, w = self.size
        source = self.laid(torch.randn(self.size).to(self.dtype))
        return source, offsets(self.field, n, h, w)

    def laid(self, x: Tensor) -> Tensor:
        return x.to(memory_format=torch.channels_last) if self.last else x

    def check(self, gpu: Gpu | None = None) -> Gpu:
        """As :meth:`Match.check`."""
        gpu = Gpu() if gpu is None else gpu
        gpu.shift = self.shift
        gpu.order = np.random.default_rng(self.seed)
        source, offset = self.inputs()
        if not self.backward:
            out = gpu.patch_swap(source, offset, patch_size=self.patch)
            testing.check_patch_swap(out, source, offset, patch_size=self.patch)
            return gpu
        grad = self.laid(torch.randn(self.size).to(self.dtype))
        found = gpu.patch_swap_backward(grad, offset, patch_size=self.patch, deterministic=self.deterministic)
        testing.check_patch_swap_gradient(found, grad, source, offset, patch_size=self.patch)
        return gpu


def random_question(rng: np.random.Generator, seed: int) -> Match | Swap:
    """Small maps of odd sizes, every option of both operators."""

    def one(*choices: object) -> object:
        return choices[int(rng.integers(len(choices)))]

    dtype = DTYPES[int(rng.integers(len(DTYPES)))]
    step = 4 if dtype == torch.float32 else 2
    size = (
        int(one(1, 1, 2)),
        int(one(1, 3, 8, 16, 17, 32, 33, 64, 65)),
        int(rng.integers(1, 15)),
        int(rng.integers(1, 27)),
    )
    backward, deterministic = bool(rng.random() < 0.3), bool(rng.random() < 0.5)
    shift = step * int(rng.integers(3))
    if rng.random() < 0.25:
        last = bool(rng.random() < 0.5)
        return Swap(
            size, dtype, int(one(1, 3, 3, 5)), str(one(*FIELDS)), shift, backward, deterministic, seed, last
        )
    question = Match(
        size, dtype, int(one(0, 1, 2, 2, 2, 3, 4, 7, 8, 9)), int(one(1, 3, 3, 3, 5, 7)), str(one(*NORMS)),
        str(one("none", "none", *CENTERS[1:])), bool(dtype == torch.float32 and rng.random() < 0.3),
        bool(rng.random() < 0.4), shift, int(one(227, 99)) * 1024, backward, deterministic, seed,
        bool(rng.random() < 0.5),
    )  # fmt: skip
    # A large window from features alone, a warp a pixel, takes the interpreter a minute.
    return replace(question, radius=min(question.radius, 2)) if question.patch == 7 else question
