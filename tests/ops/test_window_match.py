"""window_match against hand-made numbers, against loops over everything in float64, and at its edges."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from apnt import _ext, reference, testing
from apnt.errors import InputError

Op = Callable[..., tuple[Tensor, Tensor]]
MODES = ("search", "cosine", "paper", "none")
reference_module = importlib.import_module("apnt.reference.window_match")


@pytest.fixture
def window_match(backend: testing.Backend) -> Op:
    return backend.window_match


Match = tuple[np.ndarray, np.ndarray, dict[tuple[int, ...], float]]
results: dict[tuple[object, ...], Match] = {}


def brute_force(
    source: Tensor, target: Tensor, center: Tensor | None, radius: int, patch_size: int, normalize: str
) -> Match:
    """Offsets, scores, and the score of every candidate by (n, y, x, dy, dx); cached for all backends."""
    tensors = [(x.shape, x.double().numpy().tobytes()) for x in (source, target, center) if x is not None]
    key = (*tensors, radius, patch_size, normalize)
    if key not in results:
        results[key] = loops(source, target, center, radius, patch_size, normalize)
    return results[key]


def loops(
    source: Tensor, target: Tensor, center: Tensor | None, radius: int, patch_size: int, normalize: str
) -> Match:
    """What :func:`brute_force` returns, with one loop per index."""
    s, t = source.double().numpy(), target.double().numpy()
    n, _, h, w = s.shape
    half = patch_size // 2
    border = ((0, 0), (0, 0), (half, half), (half, half))
    s, t = np.pad(s, border), np.pad(t, border)
    offset, score = np.zeros((n, 2, h, w), np.int64), np.zeros((n, h, w))
    every: dict[tuple[int, ...], float] = {}
    for b, y, x in itertools.product(range(n), range(h), range(w)):
        target_patch = t[b, :, y : y + patch_size, x : x + patch_size]
        cy, cx = (0, 0) if center is None else center[b, :, y, x].tolist()
        cy, cx = min(max(y + cy, 0), h - 1), min(max(x + cx, 0), w - 1)
        ranked = []
        for jy, jx in itertools.product(
            range(cy - radius, cy + radius + 1), range(cx - radius, cx + radius + 1)
        ):
            if not (0 <= jy < h and 0 <= jx < w):
                continue
            source_patch = s[b, :, jy : jy + patch_size, jx : jx + patch_size]
            value = float((source_patch * target_patch).sum())
            if normalize in ("search", "cosine"):
                value /= max(float(np.sqrt((source_patch * source_patch).sum())), 1e-6)
            if normalize in ("cosine", "paper"):
                value /= max(float(np.sqrt((target_patch * target_patch).sum())), 1e-6)
            every[b, y, x, jy - y, jx - x] = value
            distance = (jy - cy) ** 2 + (jx - cx) ** 2
            ranked.append((-value, distance, jy, jx))
        best = min(ranked)
        offset[b, :, y, x] = best[2] - y, best[3] - x
        score[b, y, x] = -best[0]
    return offset, score, every


def image(*rows: list[float]) -> Tensor:
    """One-channel image (1, 1, H, W) from its rows."""
    return torch.tensor(rows, dtype=torch.float32)[None, None]


def random_center(n: int, h: int, w: int, reach: int) -> Tensor:
    return torch.randint(-reach, reach + 1, (n, 2, h, w), dtype=torch.int32)


def interior(x: Tensor, margin: int) -> Tensor:
    return x[..., margin:-margin, margin:-margin]


def test_finds_the_patch_by_hand(window_match: Op) -> None:
    # Patches of one pixel: each target pixel takes the largest product in reach.
    source, target = image([1, 4, 2, 3, 0]), image([1, 1, 1, -1, 2])
    offset, score = window_match(source, target, radius=1, patch_size=1, normalize="none")
    assert offset[0, 1].tolist() == [[1, 0, -1, 1, -1]]
    assert offset[0, 0].tolist() == [[0, 0, 0, 0, 0]]
    assert score.tolist() == [[[4, 4, 4, 0, 6]]]


def test_sums_over_the_patch_by_hand(window_match: Op) -> None:
    # Three in a row (rows above and below are outside, so zero).
    # Target patches: (0, 1, 0), (1, 0, 2), (0, 2, 0), (2, 0, 0).
    # Source patches: (0, 1, 2), (1, 2, 5), (2, 5, 3), (5, 3, 0).
    source, target = image([1, 2, 5, 3]), image([1, 0, 2, 0])
    offset, score = window_match(source, target, radius=1, normalize="none")
    assert score[0, 0].tolist() == [2, 11, 10, 10]
    assert offset[0, 1, 0].tolist() == [1, 0, 0, 0]


@pytest.mark.parametrize(
    ("normalize", "dx", "score"),
    [
        ("none", 1, 27.0),  # the bright patch (9, 0) wins: 3 * 9
        ("paper", 1, 27.0 / 5),  # the same candidate, over the target's norm 5
        ("search", -1, 5.0),  # (3, 4) points the same way: 25 / 5
        ("cosine", -1, 1.0),
    ],
)
def test_normalizations_by_hand(window_match: Op, normalize: str, dx: int, score: float) -> None:
    # Two channels, three pixels: the target (3, 4) at x = 1 can choose from (3, 4), (0, 0) and (9, 0).
    source = torch.tensor([[[[3.0, 0, 9]], [[4.0, 0, 0]]]])
    target = torch.tensor([[[[0, 3.0, 0]], [[0, 4.0, 0]]]])
    offset, value = window_match(source, target, radius=1, patch_size=1, normalize=normalize)
    assert offset[0, :, 0, 1].tolist() == [0, dx]
    assert value[0, 0, 1].item() == pytest.approx(score)


def test_center_by_hand(window_match: Op) -> None:
    # Windows centred two to the right, clamped to the last pixel where that is outside.
    source, target = image([9, 1, 2, 3, 4, 5, 6]), torch.ones(1, 1, 1, 7)
    center = torch.zeros(1, 2, 1, 7, dtype=torch.int32)
    center[:, 1] = 2
    offset, score = window_match(source, target, center, radius=1, patch_size=1, normalize="none")
    assert offset[0, 1, 0].tolist() == [3, 3, 3, 3, 2, 1, 0]
    assert score[0, 0].tolist() == [3, 4, 5, 6, 6, 6, 6]


def test_norm_floor_by_hand(window_match: Op) -> None:
    # A source patch of norm 1e-9 is divided by 1e-6.
    offset, score = window_match(image([1e-9]), image([2.0]), radius=2, patch_size=1)
    assert offset.tolist() == [[[[0]], [[0]]]]
    assert score.item() == pytest.approx(2e-3)


CASES = [  # n, c, h, w, radius, patch_size
    (1, 2, 1, 1, 2, 3),
    (2, 3, 2, 3, 1, 5),
    (1, 1, 5, 4, 0, 3),
    (1, 4, 7, 5, 1, 1),
    (2, 3, 6, 7, 2, 3),
    (1, 2, 9, 8, 3, 3),
    (1, 5, 8, 9, 2, 5),
    (1, 3, 7, 9, 4, 1),
    (1, 2, 3, 11, 4, 3),
]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("centered", [False, True])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_equals_loops(window_match: Op, case: tuple[int, ...], centered: bool, dtype: torch.dtype) -> None:
    n, c, h, w, radius, patch_size = case
    torch.manual_seed(sum(case))
    source, target = torch.randn(2, n, c, h, w, dtype=torch.float64).to(dtype)
    center = random_center(n, h, w, max(h, w) + 3) if centered else None
    for normalize in MODES:
        expected, best, every = brute_force(source, target, center, radius, patch_size, normalize)
        offset, score = window_match(
            source, target, center, radius=radius, patch_size=patch_size, normalize=normalize
        )
        assert offset.dtype == torch.int32
        assert score.dtype == dtype
        bound = testing.score_bound(
            source.double(), target.double(), offset, patch_size=patch_size, normalize=normalize
        )
        allowed = testing.SCORE_TOLERANCE[dtype] * bound
        chosen = torch.zeros(n, h, w, dtype=torch.float64)
        for b, y, x in itertools.product(range(n), range(h), range(w)):
            at = (b, y, x, *offset[b, :, y, x].tolist())
            chosen[b, y, x] = every[at]  # KeyError: no candidate
        testing.assert_close("score", score, chosen, allowed)
        tied = (torch.from_numpy(best) - chosen) <= 2 * allowed
        assert (tied | (offset == torch.from_numpy(expected)).all(1)).all()
        testing.check_window_match(
            offset, score, source, target, center, radius=radius, patch_size=patch_size, normalize=normalize
        )


@pytest.mark.parametrize("normalize", MODES)
@pytest.mark.parametrize("centered", [False, True])
def test_ties_are_exact_on_whole_numbers(window_match: Op, centered: bool, normalize: str) -> None:
    # Few distinct values and a repeating pattern: most windows hold many equal patches.
    torch.manual_seed(3)
    pattern = torch.randint(0, 3, (1, 2, 2, 3))
    source = pattern.repeat(1, 1, 6, 4)[:, :, :11, :10].float()
    target = pattern.repeat(1, 1, 6, 4)[:, :, 1:12, 2:12].float()
    center = random_center(1, 11, 10, 6) if centered else None
    for patch_size in (1, 3):
        expected, _, every = brute_force(source, target, center, 4, patch_size, normalize)
        assert len(set(every.values())) < len(every) / 4
        offset, _ = window_match(source, target, center, radius=4, patch_size=patch_size, normalize=normalize)
        assert np.array_equal(offset.numpy(), expected)


def test_ties_go_to_the_nearest_then_to_raster_order(window_match: Op) -> None:
    # Two equal maxima at distance 1: the upper one comes first; nearer beats earlier.
    source = torch.zeros(1, 1, 5, 5)
    source[0, 0, 1, 2] = source[0, 0, 2, 1] = source[0, 0, 2, 3] = source[0, 0, 0, 0] = 7
    offset, _ = window_match(source, torch.ones_like(source), radius=2, patch_size=1, normalize="none")
    assert offset[0, :, 2, 2].tolist() == [-1, 0]
    assert offset[0, :, 3, 3].tolist() == [-1, 0]
    assert offset[0, :, 0, 0].tolist() == [0, 0]
    assert offset[0, :, 0, 1].tolist() == [0, -1]


@pytest.mark.parametrize("channels", [1, 3, 17, 64])
@pytest.mark.parametrize("patch_size", [1, 3])
def test_equal_scores_take_the_center(window_match: Op, channels: int, patch_size: int) -> None:
    # Constant features that are no whole numbers: rounding must not make one candidate win.
    torch.manual_seed(channels)
    flat = torch.randn(1, channels, 1, 1).expand(1, channels, 19, 22).contiguous()
    center = random_center(1, 19, 22, 2)
    margin = 3 + 2 + patch_size
    offset, _ = window_match(flat, flat, radius=3, patch_size=patch_size)
    assert interior(offset, margin).abs().sum() == 0
    offset, _ = window_match(flat, flat, center, radius=3, patch_size=patch_size)
    assert torch.equal(interior(offset, margin), interior(center, margin))


def test_zeros_take_the_clamped_center(window_match: Op) -> None:
    flat = torch.zeros(1, 3, 4, 6)
    center = torch.full((1, 2, 4, 6), 100, dtype=torch.int32)
    offset, score = window_match(flat, flat, center, radius=2)
    assert offset[0, 0].tolist() == [[3 - y] * 6 for y in range(4)]
    assert offset[0, 1].tolist() == [[5 - x for x in range(6)]] * 4
    assert score.abs().sum() == 0


def test_extreme_centers_do_not_overflow(window_match: Op) -> None:
    torch.manual_seed(0)
    source, target = torch.randn(2, 1, 2, 4, 5)
    for dtype in (torch.int32, torch.int64):
        limits = torch.iinfo(dtype)
        for value, edge in ((limits.min, -10), (limits.max, 10)):
            far = window_match(source, target, torch.full((1, 2, 4, 5), value, dtype=dtype), radius=1)
            near = window_match(source, target, torch.full((1, 2, 4, 5), edge, dtype=dtype), radius=1)
            assert torch.equal(far[0], near[0])
            assert torch.equal(far[1], near[1])


def test_window_as_large_as_the_image_finds_a_shift(window_match: Op) -> None:
    torch.manual_seed(1)
    source = torch.randn(1, 6, 12, 15)
    target = source.roll((3, -5), (2, 3))
    offset, score = window_match(source, target, radius=20, normalize="cosine")
    inner = offset[0, :, 4:-1, 1:-6]
    assert (inner[0] == -3).all()
    assert (inner[1] == 5).all()
    torch.testing.assert_close(score[0, 4:-1, 1:-6], torch.ones(7, 8))


def test_zero_center_is_no_center(window_match: Op) -> None:
    torch.manual_seed(2)
    source, target = torch.randn(2, 2, 5, 9, 10)
    for normalize in MODES:
        plain = window_match(source, target, radius=2, normalize=normalize)
        zero = window_match(
            source, target, torch.zeros(2, 2, 9, 10, dtype=torch.int32), radius=2, normalize=normalize
        )
        assert torch.equal(plain[0], zero[0])
        torch.testing.assert_close(plain[1], zero[1])


@pytest.mark.parametrize("backend", ["reference"], indirect=True)
@pytest.mark.parametrize("centered", [False, True])
def test_result_does_not_depend_on_chunks(
    window_match: Op, monkeypatch: pytest.MonkeyPatch, centered: bool
) -> None:
    torch.manual_seed(4)
    source, target = torch.randn(2, 2, 6, 9, 11)
    center = random_center(2, 9, 11, 4) if centered else None
    whole = window_match(source, target, center, radius=2)
    monkeypatch.setattr("apnt.reference.score._BAND_BYTES", 1)
    monkeypatch.setattr(reference_module, "_CHUNK_BYTES", 40_000)
    parts = window_match(source, target, center, radius=2)
    assert torch.equal(whole[0], parts[0])
    torch.testing.assert_close(whole[1], parts[1])


class LargestTensor(TorchDispatchMode):
    """Records the number of elements of the largest tensor that owns its memory."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        for x in out if isinstance(out, (tuple, list)) else (out,):
            if isinstance(x, Tensor):
                self.elements = max(self.elements, x.untyped_storage().nbytes() // x.element_size())
        return out


@pytest.mark.parametrize("backend", ["reference"], indirect=True)
@pytest.mark.parametrize("centered", [False, True])
def test_memory_stays_bounded(window_match: Op, monkeypatch: pytest.MonkeyPatch, centered: bool) -> None:
    monkeypatch.setattr("apnt.reference.score._BAND_BYTES", 1 << 16)
    monkeypatch.setattr(reference_module, "_CHUNK_BYTES", 1 << 18)
    torch.manual_seed(5)
    source, target = torch.randn(1, 8, 60, 70), torch.randn(1, 8, 60, 70)
    center = random_center(1, 60, 70, 4) if centered else None
    with LargestTensor() as largest:
        window_match(source, target, center, radius=4)
    features = 8 * 60 * 70
    assert (
        features <= largest.elements < 2 * features
    )  # unfolded: 9 times; scores of all candidates: 10 times


def test_graph_keeps_only_the_chosen_patches(window_match: Op) -> None:
    torch.manual_seed(5)
    source, target = torch.randn(1, 8, 12, 14, requires_grad=True), torch.randn(1, 8, 12, 14)
    storages = {}

    def keep(x: Tensor) -> Tensor:
        storages[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        score = window_match(source, target, radius=6)[1]
    features = source.numel() * source.element_size()
    assert score.requires_grad
    assert sum(storages.values()) < 10 * features  # 9 pixels a patch, not 169 candidates


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("radius", [0, 1, 3])
def test_channels_last_features_match_alike(window_match: Op, dtype: torch.dtype, radius: int) -> None:
    torch.manual_seed(11)
    last = torch.channels_last
    for shape in ((2, 16, 17, 41), (1, 3, 9, 5), (1, 37, 12, 8), (1, 1, 1, 6)):
        source, target = torch.randn(2, *shape).to(dtype)
        center = torch.randint(-9, 10, (shape[0], 2, *shape[2:]))
        for normalize in ("cosine", "search", "paper", "none"):
            options = {"radius": radius, "normalize": normalize}
            offset, score = window_match(source, target, center, **options)
            for pair in (
                (source.to(memory_format=last), target.to(memory_format=last)),
                (source.to(memory_format=last), target),
                (source, target.to(memory_format=last)),
            ):
                found = window_match(*pair, center, **options)
                # Windows without equal patches: only their sums' order may differ.
                assert torch.equal(found[0], offset)
                torch.testing.assert_close(found[1], score, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("centered", [False, True])
def test_half_precision_is_summed_in_float32(window_match: Op, dtype: torch.dtype, centered: bool) -> None:
    torch.manual_seed(6)
    source, target = (40 * torch.randn(2, 1, 64, 9, 8)).to(dtype)  # sums exceed float16's range
    center = random_center(1, 9, 8, 3) if centered else None
    for normalize in MODES:
        offset, score = window_match(source, target, center, radius=2, normalize=normalize)
        assert score.dtype == torch.float32
        testing.check_window_match(offset, score, source, target, center, radius=2, normalize=normalize)


def test_autocast_does_not_lower_the_precision(window_match: Op) -> None:
    torch.manual_seed(7)
    source, target = torch.randn(2, 1, 16, 8, 9)
    center = random_center(1, 8, 9, 3)
    plain = window_match(source, target, center, radius=2)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = window_match(source, target, center, radius=2)
    assert torch.equal(plain[0], mixed[0])
    assert torch.equal(plain[1], mixed[1])


@pytest.mark.parametrize("centered", [False, True])
def test_memory_layout_does_not_matter(window_match: Op, centered: bool) -> None:
    torch.manual_seed(8)
    source, target = torch.randn(2, 2, 5, 8, 9)
    center = random_center(2, 8, 9, 3) if centered else None
    expected = window_match(source, target, center, radius=2)
    layouts: list[Callable[[Tensor], Tensor]] = [
        lambda x: x.to(memory_format=torch.channels_last),
        lambda x: x.transpose(2, 3).contiguous().transpose(2, 3),
        lambda x: x.repeat_interleave(2, 3)[..., ::2],
        lambda x: torch.cat([x, x], 1)[:, : x.shape[1]],
    ]
    for layout in layouts:
        moved = None if center is None else layout(center)
        offset, score = window_match(layout(source), layout(target), moved, radius=2)
        assert torch.equal(offset, expected[0])
        assert torch.equal(score, expected[1])


def test_expanded_batch(window_match: Op) -> None:
    torch.manual_seed(9)
    source, target = torch.randn(1, 3, 6, 7), torch.randn(2, 3, 6, 7)
    offset, score = window_match(source.expand(2, -1, -1, -1), target, radius=1)
    testing.check_window_match(offset, score, source.repeat(2, 1, 1, 1), target, radius=1)


@pytest.mark.parametrize("centered", [False, True])
@pytest.mark.parametrize("grad", [False, True])
def test_empty_batch(window_match: Op, centered: bool, grad: bool) -> None:
    empty = torch.zeros(0, 3, 4, 5, requires_grad=grad)
    center = torch.zeros(0, 2, 4, 5, dtype=torch.int32) if centered else None
    offset, score = window_match(empty, empty, center, radius=1)
    assert offset.shape == (0, 2, 4, 5)
    assert offset.dtype == torch.int32
    assert score.shape == (0, 4, 5)


def test_nan_never_leads_out_of_the_image(window_match: Op) -> None:
    source = torch.full((1, 2, 5, 6), torch.nan)
    for center in (None, random_center(1, 5, 6, 9)):
        offset, _ = window_match(source, source, center, radius=2)
        at_y = torch.arange(5)[:, None] + offset[:, 0]
        at_x = torch.arange(6) + offset[:, 1]
        assert ((at_y >= 0) & (at_y < 5) & (at_x >= 0) & (at_x < 6)).all()


def test_nan_candidate_is_passed_over(window_match: Op) -> None:
    source = image([1, torch.nan, 3, 2, 0])
    zero = torch.zeros(1, 2, 1, 5, dtype=torch.int32)
    for center in (None, zero):
        offset, score = window_match(
            source, torch.ones_like(source), center, radius=1, patch_size=1, normalize="none"
        )
        assert offset[0, 1, 0].tolist() == [0, 1, 0, -1, -1]
        assert score[0, 0].tolist() == [1, 3, 3, 3, 2]


# float64 has one kernel of the C++, whatever the instructions (csrc/cpu/window_match_portable.cpp).
@pytest.mark.parametrize(
    "backend", ["reference", "cpp-portable", "cuda-on-cpu", "cuda", "triton"], indirect=True
)
@pytest.mark.parametrize("normalize", MODES)
@pytest.mark.parametrize("centered", [False, True])
@pytest.mark.parametrize("patch_size", [1, 3])
def test_gradients(window_match: Op, normalize: str, centered: bool, patch_size: int) -> None:
    torch.manual_seed(10)
    source, target = (torch.randn(1, 2, 4, 3, dtype=torch.float64).requires_grad_() for _ in range(2))
    center = random_center(1, 4, 3, 3) if centered else None

    def score(source: Tensor, target: Tensor) -> Tensor:
        return window_match(source, target, center, radius=1, patch_size=patch_size, normalize=normalize)[1]

    # On a GPU the order of the additions may differ from one time to the next.
    assert torch.autograd.gradcheck(score, (source, target), nondet_tol=1e-14)


def test_gradient_by_hand(window_match: Op) -> None:
    source = image([1, 4, 2]).requires_grad_()
    target = image([3, 1, 1]).requires_grad_()
    offset, score = window_match(source, target, radius=1, patch_size=1, normalize="none")
    assert not offset.requires_grad
    score.sum().backward()
    assert source.grad is not None
    assert target.grad is not None
    assert source.grad.flatten().tolist() == [0, 5, 0]  # all three chose the middle
    assert target.grad.flatten().tolist() == [4, 4, 4]


@pytest.mark.parametrize("normalize", MODES)
def test_gradient_of_zero_patches_is_finite(window_match: Op, normalize: str) -> None:
    source, target = torch.zeros(2, 1, 2, 4, 5).requires_grad_().unbind()
    source.retain_grad()
    target.retain_grad()
    window_match(source, target, radius=1, normalize=normalize)[1].sum().backward()
    assert source.grad is not None
    assert target.grad is not None
    assert source.grad.isfinite().all()
    assert target.grad.isfinite().all()


def test_score_is_the_same_with_and_without_gradient(window_match: Op) -> None:
    torch.manual_seed(11)
    source, target = torch.randn(2, 1, 6, 9, 8)
    center = random_center(1, 9, 8, 2)
    for normalize in MODES:
        searched = window_match(source, target, center, radius=2, normalize=normalize)
        graded = window_match(source.clone().requires_grad_(), target, center, radius=2, normalize=normalize)
        assert graded[1].requires_grad
        assert not searched[1].requires_grad
        assert torch.equal(searched[0], graded[0])
        torch.testing.assert_close(searched[1], graded[1].detach())


@pytest.mark.parametrize("backend", [f"cpp-{name}" for name in _ext.instruction_sets()], indirect=True)
@pytest.mark.parametrize("patch_size", [1, 3, 5])
def test_centres_equal_over_areas_of_any_size(window_match: Op, patch_size: int) -> None:
    # The kernel matches smooth areas, 2x2 blocks and single pixels in different ways: all must be right, and
    # the same to the bit however the threads divide the image.
    torch.manual_seed(14)
    source, target = torch.randn(2, 1, 20, 71, 150)
    center = torch.zeros(1, 2, 71, 150, dtype=torch.int32)
    for size in (1, 2, 3, 4, 8):
        coarse = random_center(1, -(-71 // size), -(-150 // size), 9)
        fine = coarse.repeat_interleave(size, 2).repeat_interleave(size, 3)[..., :71, :150]
        center = torch.where(torch.rand(1, 1, 71, 150).lt(0.01).cummax(3).values, fine, center)
    results = []
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            results.append(window_match(source, target, center, radius=2, patch_size=patch_size))
    finally:
        torch.set_num_threads(before)
    testing.check_window_match(*results[0], source, target, center, radius=2, patch_size=patch_size)
    for other in results[1:]:
        assert torch.equal(results[0][0], other[0])
        assert torch.equal(results[0][1], other[1])


@pytest.mark.parametrize("grad", [False, True])
def test_traces_without_a_graph_break(window_match: Op, grad: bool) -> None:
    torch.manual_seed(12)
    source, target = torch.randn(1, 3, 6, 7, requires_grad=grad), torch.randn(1, 3, 6, 7)

    def both(source: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        coarse, first = window_match(source, target, radius=1)
        fine, second = window_match(source, target, coarse, radius=1, normalize="cosine")
        return fine, first, second

    traced = torch.compile(both, fullgraph=True, backend="eager")
    for actual, expected in zip(traced(source, target), both(source, target), strict=True):
        assert torch.equal(actual, expected)
        assert actual.requires_grad == expected.requires_grad


X = torch.zeros(2, 3, 4, 5)
V = torch.zeros(2, 2, 4, 5, dtype=torch.int32)
BAD: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"source": X[0]}, InputError, "source must have shape (N, C, H, W), got (3, 4, 5)"),
    ({"target": X[0]}, InputError, "target must have shape (N, C, H, W), got (3, 4, 5)"),
    ({"source": X.numpy()}, TypeError, "source must be a torch.Tensor, got ndarray"),
    ({"source": X.int()}, TypeError, "source must be float32, float64, float16 or bfloat16, got int32"),
    ({"source": X[..., :0]}, InputError, "source must have at least one channel, row and column"),
    ({"target": X.double()}, TypeError, "target must have source's dtype float32, got float64"),
    ({"target": X[:1]}, InputError, "target must have source's batch size 2, got 1"),
    ({"target": X[:, :2]}, InputError, "target must have source's number of channels 3, got 2"),
    ({"target": X[:, :, :3]}, InputError, "target must have source's height 4, got 3"),
    ({"target": X[..., :4]}, InputError, "target must have source's width 5, got 4"),
    ({"target": X.to("meta")}, InputError, "target must be on source's device cpu, got meta"),
    ({"center": (0, 0)}, TypeError, "center must be a torch.Tensor, got tuple"),
    ({"center": V.float()}, TypeError, "center must hold integers (int32), got float32"),
    ({"center": V.bool()}, TypeError, "center must hold integers (int32), got bool"),
    ({"center": V[0]}, InputError, "center must have shape (N, 2, H, W) and hold (dy, dx), got (2, 4, 5)"),
    ({"center": V[:, :1]}, InputError, "center must have shape (N, 2, H, W) and hold (dy, dx)"),
    ({"center": V[:1]}, InputError, "center must have shape (2, 2, 4, 5) to match source (2, 3, 4, 5)"),
    ({"center": V.to("meta")}, InputError, "center must be on source's device cpu, got meta"),
    ({"radius": -1}, InputError, "radius must be 0 or more, got -1"),
    ({"radius": 1.5}, TypeError, "radius must be an int, got float"),
    ({"radius": True}, TypeError, "radius must be an int, got bool"),
    ({"patch_size": 2}, InputError, "patch_size must be odd and at least 1, got 2"),
    ({"patch_size": -1}, InputError, "patch_size must be odd and at least 1, got -1"),
    ({"patch_size": 3.0}, TypeError, "patch_size must be an int, got float"),
    (
        {"normalize": "l2"},
        InputError,
        "normalize must be one of search, cosine, paper, none, got 'l2'",
    ),
]


@pytest.mark.parametrize(("change", "error", "message"), BAD, ids=[b[2][:50] for b in BAD])
def test_errors_name_the_argument(
    backend: testing.Backend, window_match: Op, change: dict[str, Any], error: type[Exception], message: str
) -> None:
    arguments: dict[str, Any] = {"source": X, "target": X, "center": V, "radius": 1, **change}
    with pytest.raises(error) as caught:
        window_match(**arguments)
    where = "device cuda:0" if backend.device == "cuda" else "device cpu"
    assert message.replace("device cpu", where) in str(caught.value)


def test_checker_finds_wrong_matches(window_match: Op) -> None:
    torch.manual_seed(13)
    source, target = torch.randn(2, 1, 3, 6, 7)
    offset, score = window_match(source, target, radius=1)
    testing.check_window_match(offset, score, source, target, radius=1)

    wrong = score.clone()
    wrong[0, 2, 3] += 1e-4
    with pytest.raises(AssertionError, match=r"score: worst at \(0, 2, 3\)"):
        testing.check_window_match(offset, wrong, source, target, radius=1)
    wrong = score.clone()
    wrong[0, 1, 1] = torch.nan
    with pytest.raises(AssertionError, match=r"score: worst at \(0, 1, 1\): nan"):
        testing.check_window_match(offset, wrong, source, target, radius=1)
    moved = offset.clone()
    moved[0, :, 3, 3] = torch.where(moved[0, :, 3, 3] == 0, 1, 0)
    with pytest.raises(AssertionError, match=r"score of the offset: .* 1 of 1 elements"):
        testing.check_window_match(moved, score, source, target, radius=1)
    moved = offset.clone()
    moved[0, :, 3, 3] = torch.tensor([2, 0])
    with pytest.raises(AssertionError, match=r"offset: 1 of 42 are no candidates.*\(0, 3, 3\): \[2, 0\]"):
        testing.check_window_match(moved, score, source, target, radius=1)


# ---- TF32, where PyTorch's switch allows it


def rounded_to_tf32(x: Tensor) -> Tensor:
    """The nearest numbers with 10 bits of mantissa, ties away from zero."""
    mantissa, exponent = torch.frexp(x.double())  # mantissa in [0.5, 1)
    steps = (mantissa.abs() * 2**11 + 0.5).floor() * mantissa.sign()
    return torch.ldexp(steps / 2**11, exponent).to(x.dtype)


@pytest.fixture
def has_tf32(backend: testing.Backend, request: pytest.FixtureRequest) -> bool:
    """Whether this backend multiplies in TF32 where it may; the others ignore the switch."""
    on_amd = backend.device == "cuda" and torch.version.hip is not None
    return request.node.callspec.params["backend"] in ("cuda-on-cpu", "cuda", "triton") and not on_amd


def tf32_inputs(centered: bool) -> tuple[Tensor, Tensor, Tensor | None]:
    """Features and centres of 2 x 2 pixels, in an image of several tiles."""
    torch.manual_seed(4)
    source, target = torch.randn(2, 1, 11, 12, 18)
    center = random_center(1, 6, 9, 1).repeat_interleave(2, 2).repeat_interleave(2, 3)
    return source, target, center if centered else None


@pytest.mark.parametrize(("centered", "normalize"), [(False, "search"), (True, "cosine"), (True, "none")])
def test_float32_is_the_default_and_tf32_on_request(
    window_match: Op, has_tf32: bool, centered: bool, normalize: str, request: pytest.FixtureRequest
) -> None:
    inputs, options = tf32_inputs(centered), {"radius": 2, "normalize": normalize}
    exact = window_match(*inputs, **options)
    testing.check_window_match(*exact, *inputs, **options)  # far below what TF32 allows
    request.getfixturevalue("tf32")
    offset, score = window_match(*inputs, **options)
    if not has_tf32:
        assert torch.equal(offset, exact[0])
        assert torch.equal(score, exact[1])
        return
    limit = testing.TF32_SCORE_TOLERANCE
    testing.check_window_match(offset, score, *inputs, **options, tolerance=limit)
    with pytest.raises(AssertionError, match="score"):
        testing.check_window_match(offset, score, *inputs, **options)


@pytest.mark.usefixtures("tf32")
@pytest.mark.parametrize("centered", [False, True])
def test_tf32_rounds_to_nearest_and_nothing_else(window_match: Op, has_tf32: bool, centered: bool) -> None:
    source, target, center = tf32_inputs(centered)
    rounded = rounded_to_tf32(source), rounded_to_tf32(target)
    for x, y in zip(rounded, (source, target), strict=True):
        assert ((x - y).abs() <= y.abs() * 2**-11).all()
    found = window_match(source, target, center, radius=2, normalize="none")
    again = window_match(*rounded, center, radius=2, normalize="none")
    assert all(torch.equal(x, y) for x, y in zip(found, again, strict=True)) == has_tf32
    # Of what TF32 can hold the products are those of float32; other dtypes are as ever.
    testing.check_window_match(*again, *rounded, center, radius=2, normalize="none")
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        other = source.to(dtype), target.to(dtype), center
        testing.check_window_match(*window_match(*other, radius=2), *other, radius=2)


@pytest.mark.usefixtures("tf32")
def test_ties_are_exact_in_tf32(window_match: Op) -> None:
    torch.manual_seed(17)
    flat = torch.randn(1, 17, 1, 1).expand(1, 17, 18, 20).contiguous()
    center = random_center(1, 9, 10, 2).repeat_interleave(2, 2).repeat_interleave(2, 3)
    margin = 2 + 2 + 3
    offset, _ = window_match(flat, flat, radius=2)
    assert interior(offset, margin).abs().sum() == 0
    offset, _ = window_match(flat, flat, center, radius=2)
    assert torch.equal(interior(offset, margin), interior(center, margin))


@pytest.mark.usefixtures("tf32")
def test_tf32_keeps_what_is_not_finite(window_match: Op) -> None:
    target = torch.ones(1, 3, 9, 9)
    for value, expected in ((torch.inf, torch.inf), (torch.nan, 3.0)):
        source = torch.ones(1, 3, 9, 9)
        source[0, :, 4, 5] = value
        offset, score = window_match(source, target, radius=1, patch_size=1, normalize="none")
        assert score[0, 4, 4] == expected
        assert offset[0, :, 4, 4].tolist() == ([0, 1] if expected == torch.inf else [0, 0])


@pytest.mark.parametrize("radius", [1, 3])  # of different kernels on GPUs
def test_float32_keeps_what_is_not_finite(window_match: Op, radius: int) -> None:
    target = torch.ones(1, 1, 9, 9)
    for value in (torch.inf, torch.nan, torch.finfo(torch.float32).max):  # as tf32 the last would be infinite
        source = torch.ones(1, 1, 9, 9)
        source[0, :, 4, 5] = value
        offset, score = window_match(source, target, radius=radius, patch_size=1, normalize="none")
        expected, best = reference.window_match(source, target, radius=radius, patch_size=1, normalize="none")
        assert torch.equal(offset, expected)
        assert torch.equal(score, best)


@pytest.mark.parametrize("radius", [0, 3])
def test_float32_of_every_mantissa(window_match: Op, radius: int) -> None:
    """Numbers of one sign from 1 to 2, among them those that two tf32 hold worst."""
    torch.manual_seed(19)
    for steps in (2**-6 + 2**-11 + 2**-22, 2**-6 + 2**-12 - 2**-23):
        x = 1 + torch.arange(36) * steps
        source, target = (y.expand(1, 1, 36, 36).contiguous() for y in (x[:, None], x))
        options = {"radius": radius, "patch_size": 1, "normalize": "none"}
        testing.check_window_match(*window_match(source, target, **options), source, target, **options)
    source, target = 1 + torch.rand(2, 1, 64, 14, 20)
    testing.check_window_match(*window_match(source, target, **options), source, target, **options)


@pytest.mark.usefixtures("tf32")
def test_gradients_stay_float32_beside_tf32(window_match: Op) -> None:
    source, target, _ = tf32_inputs(False)
    inputs = [x.requires_grad_() for x in (source, target)]
    offset, score = window_match(*inputs, radius=2)
    grad = torch.randn_like(score)
    found = torch.autograd.grad(score, inputs, grad)
    testing.check_window_match_gradient(found, grad, source, target, offset)
