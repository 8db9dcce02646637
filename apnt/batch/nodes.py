"""Where the workers of a batch go on a cluster: as many as processors, GPUs and memory have room for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from apnt.batch.memory import Need, Network, need_of
from apnt.batch.plan import Bracket

_UNKNOWN = 1 << 50  # bytes of a node that does not say


@dataclass(frozen=True)
class Placement:
    """How a cluster is used.

    Attributes:
        count: how many workers.
        wanted: how many there would be if memory did not count.
        resources: that each asks for, as options of a Ray actor.
        threads: that PyTorch may use in each.
        need: what the brackets take in each.
    """

    count: int
    wanted: int
    resources: dict[str, float]
    threads: int
    need: Need


def placed(
    nodes: Sequence[Mapping[str, float]],
    brackets: Sequence[Bracket],
    network: Network,
    *,
    jobs: int | None = None,
    gpu: bool = False,
    memory: int | None = None,
) -> Placement:
    """Choose the workers: one a GPU, or else one a node, or as many as are asked for, where memory allows it.

    Args:
        nodes: resources of each by Ray's names, bytes of memory among them.
        brackets: that are to be fused, at least one.
        network: that fuses them.
        jobs: how many workers are asked for; None = see above.
        gpu: whether GPUs are used where there are any.
        memory: bytes that a worker may take; None = its share of its node.

    Raises:
        InputError: no node has the memory for a bracket.
    """
    gpus = int(sum(node.get("GPU", 0) for node in nodes)) if gpu else 0
    network = replace(network, config=None) if gpus else network  # it takes the GPU's memory
    rooms = [int(node.get("memory", _UNKNOWN)) for node in nodes]
    need = need_of(brackets, network, min(memory or max(rooms), max(rooms)))
    each = need.least if memory is None else need.most  # a worker that shares its node makes do with less
    able = [(node, room) for node, room in zip(nodes, rooms, strict=True) if room >= each]
    processors = [max(1, int(node.get("CPU", 1))) for node, _ in able]
    wanted = min(jobs or gpus or len(nodes), len(brackets))
    count = max(1, min(wanted, sum(room // each for _, room in able)))
    if memory is None:
        share = min(room for _, room in able) // -(-count // len(able))
        need = need_of(brackets, network, max(each, share))
    threads = min(processors) if jobs is None else max(1, min(*processors, sum(processors) // jobs))
    resources: dict[str, float] = {
        "num_cpus": 1 if gpus else threads,
        "memory": need.most,
        **({"num_gpus": 1} if gpus else {}),
    }
    return Placement(count, wanted, resources, threads, need)
