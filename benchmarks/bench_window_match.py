"""Time of ``window_match`` beside its floors and its peers, and the memory it takes.

    python benchmarks/bench_window_match.py [IMAGES --stops 0,3,6] [--device cuda] [--json FILE]

Without images the offsets are those of a procedural scene.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from apnt import ops, testing
from apnt.benchmarks import measure, peers, scenes
from apnt.benchmarks.backends import each_backend
from apnt.benchmarks.measure import Row, Work
from apnt.bracket import Bracket
from apnt.nn.matching import progressive_match
from apnt.reference.window_match import score_at

HEIGHT, WIDTH = 1000, 1500
SHARED = (1, 256, 250, 375)
"""Level 2 of that size: one window centre for all pixels."""
SMALL = (48, 64)
"""Map on which peers are timed that would take minutes."""


def measure_window_match(
    images: Sequence[Path], stops: Sequence[float] | None, device: torch.device
) -> Iterator[Row]:
    """All rows of every backend, as they are found; nothing is timed of a backend that is not right."""
    bracket = scenes.photographs(images, stops, HEIGHT, WIDTH)
    pyramids = scenes.pyramids(bracket)

    def measured() -> Iterator[Row]:
        yield from coarsest(pyramids, device)
        yield from three_levels(pyramids, device)
        yield from packaged(bracket, device)
        yield from backward(pyramids, device)
        yield from memory(device)

    yield from each_backend(device, gate, measured)


def gate(backend: str) -> None:
    """Fail unless a backend gives the right answers to small inputs of the kinds that are timed."""
    torch.manual_seed(0)
    there = testing.Backend(backend)
    for channels, radius, reach in ((256, 8, None), (128, 2, 18), (64, 2, 36), (16, 2, 36)):
        for dtype in (torch.float32, torch.bfloat16):
            source, target = (torch.randn(1, channels, 37, 53).to(dtype) for _ in range(2))
            center = None if reach is None else scenes.random_centers(37, 53, reach, 2)
            offset, score = there.window_match(source, target, center, radius=radius)
            testing.check_window_match(offset, score, source, target, center, radius=radius)


def coarsest(pyramids: scenes.Pyramids, device: torch.device) -> list[Row]:
    """Level 2: 256 channels, radius 8, against matrix products and against everyone else."""
    source, target = pyramids.source[2].to(device), pyramids.target[2].to(device)
    _, channels, h, w = source.shape
    useful = 2.0 * h * w * channels * 17**2
    halves = source.bfloat16(), target.bfloat16()
    product, operations = measure.matrix_product(device, torch.float32)
    half_product, _ = measure.matrix_product(device, torch.bfloat16)
    seconds = measure.time_together(
        {
            "sgemm": product,
            "fp32": lambda: ops.window_match(source, target, radius=8),
            "bf16 gemm": half_product,
            "bf16": lambda: ops.window_match(*halves, radius=8),
        },
        device,
        budget=8.0,
    )
    rate = operations / seconds["sgemm"].median
    floor = useful / rate
    own = seconds["fp32"].median
    size = f"{h} x {w}, C = {channels}, r = 8"
    rows = [
        Row("matrix product 2048, fp32", seconds["sgemm"], {"GFLOP/s": rate / 1e9}),
        Row(
            "matrix product 2048, bf16",
            seconds["bf16 gemm"],
            {"GFLOP/s": operations / seconds["bf16 gemm"].median / 1e9},
        ),
        Row(f"level 2, fp32: {size}", seconds["fp32"], {"useful GFLOP/s": useful / own / 1e9}).at_least(
            "share of the fp32 matrix product's rate", useful / own / rate, 0.5
        ),
        Row(f"level 2, bf16: {size}", seconds["bf16"], regret(source, target)).at_most(
            "time over the fp32 floor", seconds["bf16"].median / floor, 1.0
        ),
    ]
    # Agreement with the usual formulation on the full size: it cannot find anything better.
    _, score = ops.window_match(source, target, radius=8)
    kept: dict[str, Tensor] = {}

    def loop() -> None:
        kept["score"] = peers.displacement_loop(source, target, 8)[1]

    loop_seconds = measure.time_once(loop, device)
    testing.assert_close("score of the displacement loop", kept["score"], score, 1e-4 * score.abs().max())
    rows.append(
        Row("displacement loop in PyTorch", loop_seconds).at_least(
            "its time over level 2, fp32", loop_seconds.median / own, 150
        )
    )
    if device.type == "cuda":
        compiled = torch.compile(peers.visit, dynamic=True)
        loop_seconds = measure.time_together(
            {"loop": lambda: peers.displacement_loop(source, target, 8, compiled)}, device
        )["loop"]
        rows.append(
            Row("displacement loop, compiled", loop_seconds, {"over ours": loop_seconds.median / own})
        )
    for name, pair in (("fp32", (source, target)), ("bf16", halves)):
        tiles = measure.time_together(
            {"tiles": lambda pair=pair: peers.tiles_through_bmm(*pair, 8)}, device, 2.0
        )["tiles"]
        rows.append(
            Row(
                f"tiles through bmm in PyTorch, {name}",
                tiles,
                {"over ours": tiles.median / seconds[name].median},
            )
        )
    testing.assert_close(
        "score of the tiles", peers.tiles_through_bmm(source, target, 8), score, 1e-4 * score.abs().max()
    )
    return rows + slow_peers(own, device)


def regret(source: Tensor, target: Tensor) -> dict[str, float]:
    """What choosing in bf16 costs: how often the index differs, and how much score that loses."""
    exact, score = ops.window_match(source, target, radius=8, normalize="cosine")
    rounded, _ = ops.window_match(source.bfloat16(), target.bfloat16(), radius=8, normalize="cosine")
    lost = score - score_at(source, target, rounded.long(), patch_size=3, normalize="cosine")
    return {
        "index differs %": 100 * (exact != rounded).any(1).double().mean().item(),
        "mean cosine lost": lost.clamp_min(0).mean().item(),
        "most lost": lost.max().item(),
    }


def slow_peers(own: float, device: torch.device) -> list[Row]:
    """Peers that take minutes; what would take gigabytes too is timed on a small map and scaled."""
    torch.manual_seed(0)
    source, target = (torch.randn(1, SHARED[1], *SMALL, device=device) for _ in range(2))
    scale = SHARED[2] * SHARED[3] / (SMALL[0] * SMALL[1])
    seconds = measure.time_once(lambda: peers.unfolded_patches(source, target, 8), device)
    row = Row("unfolded patches in PyTorch", seconds)
    row.figures = {"scaled s": seconds.median * scale, "over ours": seconds.median * scale / own}
    row.note = f"timed on {SMALL[0]} x {SMALL[1]}, scaled to {SHARED[2]} x {SHARED[3]}"
    rows = [row]
    source, target = (torch.randn(SHARED, device=device) for _ in range(2))
    for kernel in (1, 3):
        row = Row(f"spatial-correlation-sampler, kernel {kernel}")
        rows.append(row)
        try:
            row.seconds = measure.time_once(
                lambda kernel=kernel: peers.correlation_sampler(source, target, 8, kernel), device
            )
        except ImportError as error:
            row.note = f"not measured: {error}"
            continue
        ratio = row.seconds.median / own
        if kernel == 3 and device.type == "cpu":
            row.at_least("its time over level 2, fp32", ratio, 2000)
        else:
            row.figures["over ours"] = ratio
    return rows


def arithmetic(source: Sequence[Tensor]) -> float:
    """Useful operations of three levels: shared centres at the coarsest, one for 2x2 pixels at the others."""
    pixels = [x.shape[1] * x.shape[2] * x.shape[3] for x in source]
    return 2.0 * (pixels[2] * 17**2 + (pixels[1] + pixels[0]) * 25 * 4)


def three_levels(pyramids: scenes.Pyramids, device: torch.device) -> list[Row]:
    """A whole progressive match of a photograph, with the offsets it finds and with wild ones."""
    source, target = ([x.to(device) for x in pyramid] for pyramid in (pyramids.source, pyramids.target))
    wild = {
        "random for every 2x2 block": [
            scenes.random_centers(*source[i].shape[2:], 36 >> i, 2).to(device) for i in (0, 1)
        ],
        "random for every pixel": [
            scenes.random_centers(*source[i].shape[2:], 36 >> i, 1).to(device) for i in (0, 1)
        ],
        "random over the whole image": [
            scenes.random_centers(*source[i].shape[2:], max(source[i].shape[2:]), 2).to(device)
            for i in (0, 1)
        ],
    }

    def progressive() -> None:
        progressive_match(source, target, radii=scenes.RADII)

    def at(centers: list[Tensor]) -> Callable[[], None]:
        def work() -> None:
            ops.window_match(source[2], target[2], radius=8)
            for level in (1, 0):
                ops.window_match(source[level], target[level], centers[level], radius=2)

        return work

    halves = [[x.bfloat16() for x in pyramid] for pyramid in (source, target)]
    product, operations = measure.matrix_product(device, torch.float32)
    seconds = measure.time_together(
        {
            "sgemm": product,
            "picture": progressive,
            "bf16": lambda: progressive_match(*halves, radii=scenes.RADII),
            **{name: at(centers) for name, centers in wild.items()},
        },
        device,
        budget=15.0,
    )
    floor = arithmetic(source) * seconds["sgemm"].median / operations
    own = seconds["picture"].median
    size = f"three levels, {source[0].shape[2]} x {source[0].shape[3]}, C = 64/128/256, r = 2/2/8"
    coherent = scenes.coherence(pyramids.offsets[1])
    bits = sum(x.numel() * x.element_size() for x in (*source, *target))
    figures = {"floor ms": floor * 1e3, "GB/s": bits / own / 1e9, "coherent blocks %": 100 * coherent}
    rows = [
        Row(f"{size}, offsets of the picture", seconds["picture"], figures).at_most(
            "time over the arithmetic floor", own / floor, 3
        ),
        Row(f"{size}, bf16", seconds["bf16"], {"time over the fp32 floor": seconds["bf16"].median / floor}),
    ]
    for name in wild:
        row = Row(f"three levels, centres {name}", seconds[name])
        ratio = seconds[name].median / own
        # The network's centres cannot leave its reach; the last kind is here to show what lies beyond.
        if name == "random over the whole image":
            row.figures["time over the picture's"] = ratio
        else:
            row.at_most("time over the picture's", ratio, 3)
        rows.append(row)
    if device.type == "cuda":
        rows[0].at_most("ms", own * 1e3, 1.0)
        rows[1].at_most("ms", seconds["bf16"].median * 1e3, 0.5)
    return rows


def packaged(bracket: Bracket, device: torch.device) -> list[Row]:
    """The same with the packaged features of 16, 32 and 64 channels: what a fuse runs."""
    source, target = scenes.packaged_features(bracket)
    source, target = ([x.to(device) for x in pyramid] for pyramid in (source, target))
    copy, moved = measure.copy(device, 1 << 25)
    product, operations = measure.matrix_product(device, torch.float32)
    seconds = measure.time_together(
        {
            "copy": copy,
            "sgemm": product,
            "picture": lambda: progressive_match(source, target, radii=scenes.RADII, normalize="cosine"),
        },
        device,
    )
    bits = sum(x.numel() * x.element_size() for x in (*source, *target))
    by_bytes = bits * seconds["copy"].median / moved
    by_operations = arithmetic(source) * seconds["sgemm"].median / operations
    own = seconds["picture"].median
    figures = {"over the arithmetic floor": own / by_operations, "over the bytes floor": own / by_bytes}
    return [Row("three levels with the packaged features, C = 16/32/64", seconds["picture"], figures)]


def backward(pyramids: scenes.Pyramids, device: torch.device) -> list[Row]:
    """Gradients of the score at level 1, with offsets of the picture and with random ones."""
    source, target = pyramids.source[1].to(device), pyramids.target[1].to(device)
    size = source.shape[2:]
    rows = []
    for name, center in (
        ("offsets of the picture", scenes.centers(pyramids.offsets, 1)),
        ("random offsets", scenes.random_centers(*size, 18, 2)),
    ):
        assert center is not None
        center = center.to(device)
        inputs = [x.clone().requires_grad_() for x in (source, target)]
        offset, score = ops.window_match(*inputs, center, radius=2)
        plain = score_at(*inputs, offset.long(), patch_size=3, normalize="search")
        grad = torch.randn_like(score)

        def work(of: Tensor, grad: Tensor = grad, inputs: list[Tensor] = inputs) -> Work:
            return lambda: torch.autograd.grad(of, inputs, grad, retain_graph=True)

        seconds = measure.time_together({"ours": work(score), "plain": work(plain)}, device)
        rows.append(
            Row(
                f"backward, level 1 ({size[0]} x {size[1]}, C = {source.shape[1]}), {name}",
                seconds["ours"],
                {"plain PyTorch's time over ours": seconds["plain"].median / seconds["ours"].median},
            )
        )
    return rows


def forward_alone(device: str, shape: tuple[int, ...], radius: int, reach: int) -> tuple[Work, int]:
    """Work of :func:`memory`, and the bytes of its outputs."""
    source, target = (torch.randn(shape, device=device) for _ in range(2))
    center = scenes.random_centers(*shape[2:], reach, 2).to(device) if reach else None
    outputs = shape[0] * shape[2] * shape[3] * 12
    return lambda: ops.window_match(source, target, center, radius=radius), outputs


def backward_alone(device: str, shape: tuple[int, ...], radius: int, reach: int) -> tuple[Work, int]:
    """Work of :func:`memory`, and the bytes of its outputs."""
    source, target = (torch.randn(shape, device=device, requires_grad=True) for _ in range(2))
    center = scenes.random_centers(*shape[2:], reach, 2).to(device) if reach else None
    _, score = ops.window_match(source, target, center, radius=radius)
    grad = torch.randn_like(score)
    return lambda: torch.autograd.grad(score, [source, target], grad), 2 * source.numel() * 4


def memory(device: torch.device) -> list[Row]:
    """Peak memory beside inputs and outputs, as a share of the inputs."""
    rows = []
    for what, build in (("forward", forward_alone), ("backward", backward_alone)):
        for shape, radius, reach in (
            (SHARED, 8, 0),
            ((1, 128, 500, 750), 2, 18),
            ((1, 64, HEIGHT, WIDTH), 2, 36),
            ((1, 16, HEIGHT, WIDTH), 2, 36),
        ):
            extra = measure.extra_memory(build, device.type, shape, radius, reach)
            inputs = 4 * shape[0] * shape[2] * shape[3] * (2 * shape[1] + (2 if reach else 0))
            rows.append(
                Row(
                    f"extra memory, {what}, {shape[2]} x {shape[3]}, C = {shape[1]}",
                    None,
                    {"MiB": extra / 2**20},
                ).at_most("% of the inputs", 100 * extra / inputs, 10)
            )
    return rows


if __name__ == "__main__":
    from apnt.benchmarks.command import main

    main("window_match")
