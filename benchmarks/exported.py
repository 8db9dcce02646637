"""A file of ``apnt export`` beside eager mode: the radiance, the matches, and what the matches alone explain.

python benchmarks/exported.py FILE [--weights fast] [--format pt2] [--precision fp32] [--size 201x333 ...]
    [--longest 512]

Makes FILE where it does not exist. A graph computes in contiguous tensors, as the eager network does here.
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import apnt
from apnt.data.procedural import procedural_bracket
from apnt.export import FORMATS, export
from apnt.reference.score import score_at
from apnt.tonemap import mu_law

SIZES = ("96x128", "201x333", "368x544")
"""Height and width, pixels, none of them traced."""


class Searches(TorchDispatchMode):
    """Sees every search of a network, those in branches of a graph too."""

    supports_higher_order_operators = True

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.higher_order.cond:
            condition, one, other, operands = args
            with self:
                return (one if condition else other)(*operands)
        result = func(*args, **(kwargs or {}))
        if func is not torch.ops.apnt.window_match.default:
            return result
        # What is the default is not among the arguments.
        given = {each.name: each.default_value for each in func._schema.arguments}
        return self.search(result, given | dict(zip(given, args, strict=False)) | (kwargs or {}))

    def search(self, result: Any, asked: dict[str, Any]) -> Any:
        """What the network gets for a search's result, scores and offsets: here, that."""
        return result


class Offsets(Searches):
    """Keeps what every search finds."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Tensor | None] = []

    def search(self, result: Any, asked: dict[str, Any]) -> Any:
        self.found.append(result[1])
        return result


class Given(Searches):
    """Has every search find what those of another run found; its own where that is not known, None.

    Attributes:
        behind: of each search, by how much what was found there scores less than the best here, the most of
            all pixels, as a part of the mean score. Other matches that are hardly behind are ties.
    """

    def __init__(self, offsets: list[Tensor | None]) -> None:
        super().__init__()
        self.left = list(offsets)
        self.behind: list[float] = []

    def search(self, result: Any, asked: dict[str, Any]) -> Any:
        best, given = result[0], self.left.pop(0) if self.left else None
        if given is None:
            return result
        features = asked["source"].float(), asked["target"].float()
        score = score_at(*features, given, patch_size=asked["patch_size"], normalize=asked["normalize"])
        self.behind.append(float((best - score).max() / best.abs().mean()))
        return best, given


Found = tuple[Tensor, list[Tensor | None]]
"""Radiance, and what every search found; None where its score alone is used: such offsets are not kept."""


def load(path: Path, kind: str) -> Callable[[Tensor, Tensor], Found]:
    """The file's network."""
    if kind == "onnx":
        return _load_onnx(path)
    loading: dict[str, Callable[[str], Any]] = {
        "pt2": lambda name: torch.export.load(name).module(),
        "aoti": torch._inductor.aoti_load_package,
    }
    run = loading[kind](str(path))

    def found(ldr: Tensor, times: Tensor) -> Found:
        with Offsets() as ours:
            return run(ldr, times), ours.found

    return found


def _load_onnx(path: Path) -> Callable[[Tensor, Tensor], Found]:
    """In ONNX Runtime; what searches find becomes an output. Those in branches do not: none may be there."""
    import onnx
    import onnxruntime

    file = onnx.load(path)
    assert not any(node.op_type == "If" for node in file.graph.node), "reach: export with a smaller --longest"
    # The exporter numbers searches as they come, and their results: score 0, offset 1.
    named = {node.name: node.output[0] for node in file.graph.node}
    searches = [
        (int(found[1] or 0), output)
        for name, output in named.items()
        if (found := re.fullmatch(r"node_window_match(?:_(\d+))?__1", name))
    ]
    file.graph.output.extend(onnx.ValueInfoProto(name=output) for _, output in searches)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(
        file.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )

    def run(ldr: Tensor, times: Tensor) -> Found:
        given = {"ldr": ldr.numpy(), "times": times.numpy()}
        radiance, *offsets = (torch.from_numpy(x) for x in session.run(None, given))
        numbered = {number: offset for (number, _), offset in zip(searches, offsets, strict=True)}
        return radiance, [numbered.get(k) for k in range(max(numbered) + 1)]

    return run


def decibels(a: Tensor, b: Tensor) -> float:
    """PSNR after the mu-law."""
    return float(-10 * (mu_law(a) - mu_law(b)).square().mean().log10())


@torch.no_grad()
def compare(run: Callable[[Tensor, Tensor], Found], model: Any, size: str, rounded: bool) -> list[str]:
    """A row of the table."""
    height, width = (int(side) for side in size.split("x"))
    ldr, times = procedural_bracket(1, max(height, 64), max(width, 88)).tensors(torch.device("cpu"))
    inputs = ldr[..., :height, :width].contiguous(), times
    start = time.perf_counter()
    result, found = run(*inputs)
    seconds = time.perf_counter() - start
    with torch.autocast("cpu", torch.bfloat16, enabled=rounded):
        with Offsets() as eager:
            expected = model(*inputs)
        with Given(found) as given:
            matched = model(*inputs)
    pairs = [(a, b) for a, b in zip(found, eager.found, strict=False) if a is not None and b is not None]
    others = torch.cat([(a != b).any(1).flatten() for a, b in pairs]).double().mean()
    row = [size, f"{(result - expected).abs().max():.1e}", f"{others:.2%}"]
    row += [f"{max(given.behind):.1e}", f"{(result - matched).abs().max():.1e}"]
    row += [f"{(mu_law(result) - mu_law(matched)).abs().max():.1e}", f"{seconds:.2f}"]
    if rounded:
        exact = model(*inputs)
        row += [f"{decibels(x, exact):.1f} dB" for x in (result, expected)]
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--weights", default="fast")
    parser.add_argument("--format", choices=FORMATS, default="pt2")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--longest", type=int)
    parser.add_argument("--size", nargs="*", default=SIZES)
    options = parser.parse_args()
    model: Any = apnt.APNTFusion.from_pretrained(options.weights).to(memory_format=torch.contiguous_format)
    start = time.perf_counter()
    if not options.file.exists():
        export(
            model, options.file, format=options.format, precision=options.precision, longest=options.longest
        )
    table = Table(title=f"{options.weights}, {options.format}, {options.precision}: largest differences")
    columns = ["size", "of eager mode", "other matches", "of the score"]
    columns += ["given the matches", "after the mu-law", "seconds"]
    if options.precision == "bf16":
        columns += ["file to fp32", "eager mode to fp32"]
    for column in columns:
        table.add_column(column)
    run = load(options.file, options.format)
    for size in options.size:
        table.add_row(*compare(run, model, size, options.precision == "bf16"))
    Console().print(table)
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
