"""``apnt batch`` on a folder of a busy day: killed and resumed, on a Ray cluster, and its rate.

    python benchmarks/batch.py grouping [--seeds 10]
    python benchmarks/batch.py resume [--brackets 120 --files 400] [--engine ray]
    python benchmarks/batch.py throughput [--brackets 12]
    python benchmarks/batch.py forecast [--megapixels 1,6 --frames 3,7]
    python benchmarks/batch.py pace [--megapixels 0.25,0.7,2 --frames 3,7] [--weights fast]

The exit code is 1 if a promise is not kept.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import product
from pathlib import Path
from typing import IO, Any

import cv2

import apnt
from apnt.batch.job import Fuser
from apnt.batch.journal import JOURNAL
from apnt.batch.pace import measure
from apnt.batch.plan import make_plan
from apnt.batch.settings import Settings
from apnt.batch.show import plan_lines
from apnt.benchmarks.batch_folder import Truth, make_folder
from apnt.benchmarks.memory import bracket as photographs
from apnt.io.folder import SIDECAR
from apnt.run import Clock

_PACKAGE = str(Path(apnt.__file__).resolve().parents[1])
_GROUPED = 0.99  # share of brackets that must be found exactly
_FASTER = 2.0  # rate beside one process a bracket
_RIGHT = 1.5  # times what a plan says a bracket may take, or the other way round
_LONGEST = 1800.0  # seconds that a run may take


@dataclass
class Result:
    """What was seen, and what of it is wrong."""

    brackets: int = 0
    files: int = 0
    grouped: int = 0
    done_once: int = 0
    reasons: int = 0
    others: int = 0
    kills: int = 0
    retried: int = 0
    nodes: int = 0
    again: int = 0
    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)


def resume(
    brackets: int, files: int, engine: str, options: Sequence[str] = (), seed: int = 0, kills: int = 2
) -> Result:
    """Make a folder, group it, fuse it with kills (on Ray, a worker's too), and look at what was left.

    Args:
        brackets, files, seed: of :func:`apnt.benchmarks.batch_folder.make_folder`.
        engine: ``"local"`` or ``"ray"``, a cluster of two nodes on this machine.
        options: more of ``apnt batch``.
        kills: how often the command is killed, and given again.
    """
    with tempfile.TemporaryDirectory(prefix="apnt-batch-bench-") as name, _cluster(engine) as where:
        folder, out = Path(name, "card"), Path(name, "out")
        folder.mkdir()
        truth = make_folder(folder, brackets, files, seed)
        result = Result(len(truth.brackets), len(list(folder.iterdir())), others=len(truth.others))
        command = ["batch", str(folder), *options]
        lines = _json_lines("\n".join(plan_lines(make_plan([folder]))))
        _check_grouping(lines, truth, result)

        begun = time.monotonic()
        command += ["-o", str(out), "--json", "--engine", engine, *where]
        found = sum("bracket" in line for line in lines)
        said = Path(name, "said.jsonl")
        for part in range(1, kills + 1):
            with said.open("w") as file:
                process = _start(command, file)
            _wait_for(out / JOURNAL, part * found // (kills + 1), process)
            process.kill()
            process.communicate()
            result.kills += 1
        with said.open("w") as file:
            process = _start(command, file)
        if engine == "ray":
            before = len(_done(out / JOURNAL))
            _wait_for(out / JOURNAL, before + max(2, (found - before) // 3), process)
            os.kill(_done(out / JOURNAL)[-1]["process"], signal.SIGKILL)
            result.kills += 1
        _, errors = process.communicate(timeout=_LONGEST)
        result.seconds = time.monotonic() - begun
        if process.returncode != 0:
            result.faults.append(
                f"exit code {process.returncode}: {errors[-300:]} {_failures(said.read_text())}"
            )
        settings = Settings(report="--report" in options)
        _check_done(out, lines, result, settings)
        finished = _done(out / JOURNAL)
        result.retried = sum(line.get("tries", 1) > 1 for line in finished)
        result.nodes = len({line.get("node", "here") for line in finished})
        if engine == "ray" and (result.nodes < 2 or not result.retried):
            result.faults.append(
                f"{result.nodes} nodes worked, and {result.retried} brackets were begun again"
            )
        last = _json_lines(_run(command).stdout)[-1]
        result.again = last["summary"]["done"] + last["summary"]["failed"]
        if result.again:
            result.faults.append(f"after all was done, {result.again} brackets were fused again")
        return result


def grouping(seeds: int, brackets: int, files: int) -> Result:
    """Group as many folders as there are seeds, without fusing anything; counts are of all of them."""
    total = Result()
    begun = time.monotonic()
    for seed in range(seeds):
        with tempfile.TemporaryDirectory(prefix="apnt-batch-bench-") as name:
            truth = make_folder(Path(name), brackets, files, seed)
            one = Result(len(truth.brackets), len(list(Path(name).iterdir())), others=len(truth.others))
            plan = make_plan([name])
            _check_grouping([json.loads(line) for line in plan_lines(plan)], truth, one)
        for count in ("brackets", "files", "grouped", "reasons", "others"):
            setattr(total, count, getattr(total, count) + getattr(one, count))
        total.faults += one.faults
    total.seconds = time.monotonic() - begun
    return total


def throughput(brackets: int, options: Sequence[str] = (), rounds: int = 3) -> dict[str, Any]:
    """Seconds a bracket of one batch, and of one ``apnt fuse`` a bracket, in turn.

    Args:
        brackets: how many.
        options: of both commands.
        rounds: of both, in turn; medians are compared.
    """
    with tempfile.TemporaryDirectory(prefix="apnt-batch-bench-") as name:
        folder = Path(name, "card")
        folder.mkdir()
        truth = make_folder(folder, brackets, 0)
        both: dict[str, list[float]] = {"batch": [], "processes": []}
        for turn in range(rounds):
            out = Path(name, f"out{turn}")
            out.mkdir()
            begun = time.monotonic()
            _run(["batch", str(folder), "-o", str(out / "batch"), *options])
            both["batch"].append(time.monotonic() - begun)
            begun = time.monotonic()
            for n, frames in enumerate(truth.brackets):
                _run(["fuse", *(str(folder / f) for f in frames), "-o", str(out / f"{n}.exr"), *options])
            both["processes"].append(time.monotonic() - begun)
        batch, processes = (statistics.median(both[kind]) / brackets for kind in ("batch", "processes"))
        return {"brackets": brackets, "batch": batch, "processes": processes, "ratio": processes / batch}


def forecast(
    megapixels: Sequence[float], frames: Sequence[int], options: Sequence[str]
) -> list[dict[str, Any]]:
    """Memory and time that the plan of one bracket says, and what the command took.

    Args:
        megapixels, frames: of the brackets, all of them with all.
        options: of the command.
    """
    seen = []
    for size, count in product(megapixels, frames):
        with tempfile.TemporaryDirectory(prefix="apnt-batch-bench-") as name:
            folder = Path(name, "card")
            folder.mkdir()
            paths, stops = photographs(folder, size, count)
            listed = {"files_short_to_long": [path.name for path in paths], "ev_stops": _numbers(stops)}
            (folder / SIDECAR).write_text(json.dumps(listed))
            process = _start(["batch", str(folder), "-o", str(Path(name, "out")), "--json", *options])
            assert process.stdout is not None
            said = process.stdout.read()  # the errors are few: they fit into their pipe
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        lines = _json_lines(said)
        plan, done = lines[0]["plan"], lines[1]
        seen.append(
            {
                "megapixels": size,
                "frames": count,
                "memory": plan["memory"],
                "peak": usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
                "expected": plan["seconds"],
                "seconds": done.get("seconds"),
                "status": done["status"],
            }
        )
    return seen


def pace(megapixels: Sequence[float], frames: Sequence[int], weights: str) -> list[dict[str, Any]]:
    """Processor seconds of this process that a trial says, and that brackets take, stage by stage.

    Processor seconds, because other work on the machine makes both wrong otherwise. Let PyTorch and OpenCV
    have one thread (OMP_NUM_THREADS=1).

    Args:
        megapixels, frames: of the brackets, all of them with all.
        weights: of the network.
    """
    cv2.setNumThreads(1)
    fuser = Fuser(Settings(weights=weights, device="cpu", report=True))
    trial = measure(fuser, now=time.process_time)
    if trial is None:
        raise RuntimeError("the trial must be possible with these options")
    seen = []
    for size, count in product(megapixels, frames):
        with tempfile.TemporaryDirectory(prefix="apnt-batch-bench-") as name:
            paths, stops = photographs(Path(name), size, count)
            clock = Clock(now=time.process_time)
            outputs = fuser.settings.outputs(Path(name), "out")
            fuser.fuse(paths, _numbers(stops), outputs, clock=clock)
            clock("")
        said = trial.of(size, count)
        said["fuse"] += said.pop("merge")
        took = {stage: round(clock.seconds[stage], 2) for stage in said}
        ratio = round(sum(said.values()) / sum(took.values()), 2)
        told = {stage: round(seconds, 2) for stage, seconds in said.items()}
        seen.append({"megapixels": size, "frames": count, "said": told, "took": took, "ratio": ratio})
    return seen


def _numbers(text: str) -> list[float]:
    return [float(number) for number in text.split(",")]


@contextmanager
def _cluster(engine: str) -> Iterator[list[str]]:
    """Options that name a cluster of two nodes on this machine; none for the local engine."""
    if engine != "ray":
        yield []
        return
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["PYTHONPATH"] = _PACKAGE  # of the workers
    node = {"num_cpus": 1, "object_store_memory": 100 << 20, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    try:
        cluster.add_node(num_cpus=1, object_store_memory=100 << 20)
        yield ["--ray-address", cluster.address]
    finally:
        cluster.shutdown()


def _start(arguments: Sequence[str], output: IO[str] | int = subprocess.PIPE) -> subprocess.Popen[str]:
    """Start the command; lines come as brackets end, and a pipe that nobody reads would hold it up."""
    environment = {**os.environ, "PYTHONPATH": _PACKAGE}
    command = [sys.executable, "-m", "apnt", *arguments]
    return subprocess.Popen(command, stdout=output, stderr=subprocess.PIPE, text=True, env=environment)


def _run(arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    process = _start(arguments)
    output, errors = process.communicate(timeout=_LONGEST)
    if process.returncode != 0:
        raise RuntimeError(f"apnt {' '.join(arguments[:3])} ...: {process.returncode}: {errors}")
    return subprocess.CompletedProcess(arguments, process.returncode, output, errors)


def _json_lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def _done(journal: Path) -> list[dict[str, Any]]:
    if not journal.exists():
        return []
    whole = [line for line in journal.read_text().splitlines(keepends=True) if line.endswith("\n")]
    return [line for line in _json_lines("".join(whole)) if line["event"] == "done"]


def _wait_for(journal: Path, count: int, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + _LONGEST
    while len(_done(journal)) < count:
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"ended before {count} brackets: {process.communicate()[1][-1000:]}")
        time.sleep(0.02)


def _failures(output: str) -> list[str]:
    return [line["error"] for line in _json_lines(output) if line.get("status") == "failed"][:3]


def _check_grouping(lines: Sequence[dict[str, Any]], truth: Truth, result: Result) -> None:
    found = {tuple(Path(file).name for file in line["files"]) for line in lines if "bracket" in line}
    result.grouped = len(found & {tuple(bracket) for bracket in truth.brackets})
    if result.grouped < _GROUPED * len(truth.brackets):
        missed = [bracket for bracket in truth.brackets if tuple(bracket) not in found]
        result.faults.append(
            f"{result.grouped} of {len(truth.brackets)} brackets are found; not {missed[:3]}"
        )
    reasons = {Path(line["left_out"]).name: line["reason"] for line in lines if "left_out" in line}
    for name, words in truth.others.items():
        right = any(word in reasons.get(name, "") for word in words.split("|"))
        result.reasons += right
        if not right:
            result.faults.append(f"{name} should be left out as {words!r}, and is {reasons.get(name)!r}")


def _check_done(out: Path, lines: Sequence[dict[str, Any]], result: Result, settings: Settings) -> None:
    times = Counter(line["bracket"] for line in _done(out / JOURNAL))
    names = [line["bracket"] for line in lines if "bracket" in line]
    result.done_once = sum(times[name] == 1 for name in names)
    if set(times) != set(names) or result.done_once != len(names):
        result.faults.append(f"{result.done_once} of {len(names)} brackets were done exactly once")
    wanted = {out / JOURNAL}.union(*(settings.outputs(out, name).files for name in names))
    there = {path for path in out.rglob("*") if path.is_file()}
    if there != wanted:
        result.faults.append(f"missing {sorted(wanted - there)[:3]}, too much {sorted(there - wanted)[:3]}")


def main() -> int:
    """Run one part and print what was seen."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=("grouping", "resume", "throughput", "forecast", "pace"))
    parser.add_argument("--brackets", type=int, default=None)
    parser.add_argument("--files", type=int, default=400)
    parser.add_argument("--engine", choices=("local", "ray"), default="local")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument(
        "--option", action="append", default=[], help="of apnt, such as --option=--weights=fast"
    )
    parser.add_argument("--megapixels", default="1,6", help="of forecast and pace")
    parser.add_argument("--frames", default="3,7", help="of forecast and pace")
    parser.add_argument("--weights", default="default", help="of pace")
    given = parser.parse_args()
    if given.part == "pace":
        seen = pace(_numbers(given.megapixels), [int(n) for n in _numbers(given.frames)], given.weights)
        print(*map(json.dumps, seen), sep="\n")
        return 0 if all(1 / _RIGHT <= row["ratio"] <= _RIGHT for row in seen) else 1
    if given.part == "forecast":
        rows = forecast(_numbers(given.megapixels), [int(n) for n in _numbers(given.frames)], given.option)
        print(*map(json.dumps, rows), sep="\n")
        return 0 if all(row["status"] == "done" and row["peak"] <= row["memory"] for row in rows) else 1
    if given.part == "throughput":
        rate = throughput(given.brackets or 12, given.option)
        print(json.dumps(rate))
        return 0 if rate["ratio"] >= _FASTER else 1
    if given.part == "grouping":
        result = grouping(given.seeds, given.brackets or 120, given.files)
        print(json.dumps(asdict(result)))
        return 1 if result.faults else 0
    result = resume(given.brackets or 120, given.files, given.engine, given.option, given.seed, given.kills)
    print(json.dumps(asdict(result)))
    return 1 if result.faults else 0


if __name__ == "__main__":
    sys.exit(main())
