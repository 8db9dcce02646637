"""window_match on inputs of several tiles, chunks of channels, slices of the window and rounds."""

from __future__ import annotations

from types import ModuleType

import pytest
import torch
from torch import Tensor

from apnt import reference, testing


def centers(kind: str, h: int, w: int) -> Tensor | None:
    """Window centres (1, 2, H, W): of every pattern that a kernel treats in its own way."""
    if kind == "none":
        return None
    size = {"one": 99, "halves": 16, "far apart": 2, "alike": 2, "one apart": 2, "pixels": 1}[kind]
    reach = {"one": 3, "halves": 2, "far apart": h + w, "alike": 1, "one apart": 2, "pixels": 4}[kind]
    coarse = torch.randint(-reach, reach + 1, (1, 2, -(-h // size), -(-w // size)), dtype=torch.int32)
    if kind == "one apart":
        coarse[0, :, 3, 3] = h + w
    return coarse.repeat_interleave(size, 2).repeat_interleave(size, 3)[..., :h, :w].contiguous()


CASES = [  # dtype, channels, height, width, radius, patch_size, centres
    (torch.float32, 17, 17, 33, 8, 3, "none"),
    (torch.float32, 35, 16, 30, 2, 3, "none"),
    (torch.float32, 9, 30, 17, 3, 5, "halves"),
    (torch.float32, 19, 21, 37, 2, 3, "halves"),
    (torch.float32, 35, 18, 34, 2, 3, "alike"),
    (torch.float32, 5, 18, 34, 1, 3, "far apart"),
    (torch.float32, 6, 36, 50, 2, 3, "one apart"),
    (torch.float32, 3, 12, 19, 2, 1, "pixels"),
    (torch.float16, 40, 13, 29, 9, 3, "none"),
    (torch.bfloat16, 70, 11, 31, 8, 1, "none"),
    (torch.bfloat16, 33, 24, 16, 4, 3, "one"),
    (torch.float16, 40, 19, 35, 2, 3, "alike"),
    (torch.bfloat16, 130, 10, 18, 2, 3, "alike"),
    (torch.bfloat16, 20, 17, 33, 2, 3, "far apart"),
    (torch.bfloat16, 7, 34, 50, 2, 3, "one apart"),
    (torch.float16, 8, 9, 21, 1, 3, "pixels"),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_kind_of_tile(backend: testing.Backend, case: tuple) -> None:
    dtype, c, h, w, radius, patch_size, kind = case
    torch.manual_seed(c)
    center = centers(kind, h, w)
    # Noise for the scores; whole numbers, few of them, for the ties.
    for source, target in (
        torch.randn(2, 1, c, h, w).to(dtype),
        torch.randint(0, 2, (2, 1, c, h, w)).to(dtype) * (torch.arange(c) < 3).view(c, 1, 1),
    ):
        for normalize in ("search", "none"):
            options = {"radius": radius, "patch_size": patch_size, "normalize": normalize}
            offset, score = backend.window_match(source, target, center, **options)
            testing.check_window_match(offset, score, source, target, center, **options)
    expected, _ = reference.window_match(source.double(), target.double(), center, **options)
    assert torch.equal(offset, expected)


@pytest.mark.parametrize("case", [case for case in CASES if case[0] == torch.float32], ids=str)
def test_every_kind_of_tile_in_tf32(cuda_on_cpu: ModuleType, case: tuple) -> None:
    _, c, h, w, radius, patch_size, kind = case
    cuda_on_cpu.load().set_schedule(c)
    torch.manual_seed(c)
    center = centers(kind, h, w)
    options = {"radius": radius, "patch_size": patch_size}
    noise = torch.randn(2, 1, c, h, w)
    numbers = torch.randint(0, 2, (2, 1, c, h, w)).float() * (torch.arange(c) < 3).view(c, 1, 1)
    for (source, target), tolerance in ((noise, testing.TF32_SCORE_TOLERANCE), (numbers, None)):
        for normalize in ("search", "none"):
            options["normalize"] = normalize
            inputs = (source, target, center, radius, patch_size, normalize, True)
            score, offset = torch.ops.apnt_cuda_on_cpu.window_match(*inputs)
            testing.check_window_match(offset, score, source, target, center, **options, tolerance=tolerance)
    expected, _ = reference.window_match(source.double(), target.double(), center, **options)
    assert torch.equal(offset, expected)


@pytest.mark.parametrize("tf32", [False, True])
@pytest.mark.parametrize("case", [CASES[0], CASES[4], CASES[8], CASES[11]], ids=str)
def test_little_shared_memory(
    cuda_on_cpu: ModuleType, monkeypatch: pytest.MonkeyPatch, case: tuple, tf32: bool
) -> None:
    dtype, c, h, w, radius, patch_size, kind = case
    controls = cuda_on_cpu.load()
    torch.manual_seed(c)
    center = centers(kind, h, w)
    source, target = torch.randn(2, 1, c, h, w).to(dtype)
    inputs = (source, target, center, radius, patch_size, "search", tf32)
    tolerance = testing.TF32_SCORE_TOLERANCE if tf32 and dtype == torch.float32 else None
    used = []
    for limit in (163 * 1024, 99 * 1024):  # sm_80; sm_89 and sm_120
        monkeypatch.setenv("APNT_ON_CPU_SHARED", str(limit))
        controls.counters()
        score, offset = torch.ops.apnt_cuda_on_cpu.window_match(*inputs)
        used.append(controls.counters()["largest_shared"])
        assert used[-1] <= limit
        testing.check_window_match(
            offset, score, source, target, center, radius=radius, patch_size=patch_size, tolerance=tolerance
        )
    # Small windows with centres go from the features to the registers, where tensor cores multiply.
    if center is not None and radius <= 2:
        assert used == [0, 0]
    elif dtype == torch.float32 and not tf32:  # two parts of each factor take the place of half a slice
        assert used[1] == used[0] > 0
    else:
        assert 0 < used[1] < used[0]


@pytest.mark.parametrize("normalize", ["cosine", "none"])
def test_deterministic_gradients_do_not_depend_on_the_order_of_the_threads(
    cuda_on_cpu: ModuleType, normalize: str
) -> None:
    controls = cuda_on_cpu.load()
    torch.manual_seed(1)
    source, target = torch.randn(2, 2, 3, 9, 40)
    grad = torch.randn(2, 9, 40)
    # Many pixels choose the same few.
    at = torch.arange(40, dtype=torch.int32)
    offset = torch.zeros(2, 2, 9, 40, dtype=torch.int32)
    offset[:, 1] = at // 10 * 10 - at
    found: dict[bool, list[Tensor]] = {}
    for deterministic in (True, False):
        for schedule in (0, 1, 2, 3):
            controls.set_schedule(schedule)
            found.setdefault(deterministic, []).append(
                torch.ops.apnt_cuda_on_cpu.window_match_backward(
                    grad, source, target, offset, 3, normalize, True, True, deterministic
                )
            )
    first = found[True][0]
    for others in found[True][1:]:
        assert torch.equal(others[0], first[0])
        assert torch.equal(others[1], first[1])
    # With atomics the order of the additions is that of the threads, or this test would find nothing.
    assert any(not torch.equal(others[0], found[False][0][0]) for others in found[False])
    for grads in (first, found[False][0]):
        testing.check_window_match_gradient(grads, grad, source, target, offset, normalize=normalize)
