"""Processes killed at any moment: outputs whole, old or new; what is left goes at the next start."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import commands
from results import Row, timed

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP)
_OUTPUTS = (".exr", ".hdr", ".tif")


def kills(total: int, seed: int) -> list[Row]:
    """Five eighths of them during fuse, the rest during batch, train and evaluate."""
    with tempfile.TemporaryDirectory(prefix="torture-") as name:
        folder = Path(name)
        commands.make_inputs(folder)
        return [
            _fuses(folder, total - 3 * (total // 8), seed),
            _batches(folder, total // 8, seed),
            _trainings(folder, total // 8, seed),
            _evaluations(folder, total // 8, seed),
        ]


def _strike(
    pid: int, dice: random.Random, longest: float, watched: Path, number: int, before: list[str]
) -> None:
    """Send a signal: at any moment, or just after an unfinished file has appeared."""
    if dice.random() < 0.5:
        time.sleep(dice.random() * longest)
    else:
        end = time.monotonic() + 2 * longest
        while time.monotonic() < end and not set(commands.leftovers(watched)) - set(before):
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                break
            time.sleep(0.0005)
        time.sleep(dice.random() * 0.02)
    os.kill(pid, number)


def _check(
    row: Row, what: str, code: int | None, number: int, log: Path, out: Path, before: list[str]
) -> None:
    """The exit code, the text, and what one kill has left beside what lay there ``before``."""
    text = log.read_text(errors="replace")
    if code is None:
        row.fault(f"{what}: no end in 60 s after {signal.Signals(number).name}")
    elif code not in (0, 128 + number, -number):
        row.fault(f"{what}: exit code {code} after {signal.Signals(number).name}: {text[-200:]}")
    if "Traceback" in text:
        row.fault(f"{what}: traceback after {signal.Signals(number).name}: {text[-300:]}")
    left = sorted(set(commands.leftovers(out)) - set(before))
    if number != signal.SIGKILL and left:
        row.fault(f"{what}: {left} left after {signal.Signals(number).name}")


def _fuses(folder: Path, count: int, seed: int) -> Row:
    row = Row("kills during fuse")
    out, log = folder / "out", folder / "log"
    out.mkdir()
    with timed(row):
        whole: dict[str, list[bytes]] = {}
        longest = 0.0
        for suffix in _OUTPUTS:
            begun = time.monotonic()
            output = out / f"a{suffix}"
            if commands.wait(commands.start(commands.fuse(folder, output), log)) != 0:
                raise RuntimeError(log.read_text())
            longest = max(longest, time.monotonic() - begun)
            whole[suffix] = [output.read_bytes()]
            whole["preview"] = [(out / "a_preview.jpg").read_bytes()]
        for suffix in whole:  # an older file, to tell the two apart
            whole[suffix].append(b"old " + suffix.encode())
        for turn in range(count):
            dice = random.Random(f"{seed} fuse {turn}")
            suffix, number = dice.choice(_OUTPUTS), dice.choice(SIGNALS)
            output, preview = out / f"a{suffix}", out / "a_preview.jpg"
            output.write_bytes(whole[suffix][1])
            preview.write_bytes(whole["preview"][1])
            before = commands.leftovers(out)
            pid = commands.start(commands.fuse(folder, output), log)
            _strike(pid, dice, longest, out, number, before)
            _check(row, f"fuse {turn}", commands.wait(pid), number, log, out, before)
            row.tries += 1
            for path, known in ((output, whole[suffix]), (preview, whole["preview"])):
                if path.read_bytes() not in known:
                    row.fault(f"fuse {turn}: {path.name} is torn: {path.stat().st_size} bytes")
        if commands.wait(
            commands.start(commands.fuse(folder, out / "a.exr"), log)
        ) != 0 or commands.leftovers(out):
            row.fault(f"after all kills: {commands.leftovers(out)}, {log.read_text()[-200:]}")
    shutil.rmtree(out)
    return row


def _batches(folder: Path, count: int, seed: int) -> Row:
    row = Row("kills during batch, resumed until each bracket is done once")
    out, log = folder / "results", folder / "log"
    command = commands.batch(folder, out)
    with timed(row):
        begun = time.monotonic()
        if commands.wait(commands.start(command, log)) != 0:
            raise RuntimeError(log.read_text())
        longest = time.monotonic() - begun
        whole = {path.name: path.read_bytes() for path in out.iterdir() if path.suffix != ".jsonl"}
        shutil.rmtree(out)
        for turn in range(count):
            dice = random.Random(f"{seed} batch {turn}")
            number = dice.choice(SIGNALS)
            before = commands.leftovers(out)
            pid = commands.start(command, log)
            _strike(pid, dice, longest, out, number, before)
            _check(row, f"batch {turn}", commands.wait(pid), number, log, out, before)
            row.tries += 1
            for name, content in whole.items():
                path = out / name
                if path.exists() and path.read_bytes() != content:
                    row.fault(f"batch {turn}: {name} is torn: {path.stat().st_size} bytes")
            if turn % 5 == 4 or turn == count - 1:
                _ends(row, turn, command, log, out, whole)
                shutil.rmtree(out)
    return row


def _ends(row: Row, turn: int, command: list[str], log: Path, out: Path, whole: dict[str, bytes]) -> None:
    """Run the batch to its end: every output there, every bracket done once, nothing beside them."""
    code = commands.wait(commands.start(command, log))
    done = [line["bracket"] for line in _journal(out) if line["event"] == "done"]
    there = {path.name: path.read_bytes() for path in out.iterdir() if path.suffix != ".jsonl"}
    if code != 0 or there != whole:
        row.fault(
            f"batch {turn}: exit code {code}, {sorted(there)} of {sorted(whole)}: {log.read_text()[-200:]}"
        )
    if sorted(done) != sorted(set(done)) or len(done) != commands.BRACKETS:
        row.fault(f"batch {turn}: done {sorted(done)}")


def _journal(out: Path) -> list[dict[str, str]]:
    """Lines of the journal; a kill may have cut one off, in the middle of which the next begins."""
    found = []
    for line in (out / "batch.jsonl").read_text().splitlines():
        with contextlib.suppress(ValueError):
            found.append(json.loads(line))
    return found


def _trainings(folder: Path, count: int, seed: int) -> Row:
    row = Row("kills during train, each resumed")
    out, log, recipe = folder / "run", folder / "log", folder / "recipe.toml"

    def command(steps: int) -> list[str]:
        recipe.write_text(commands.RECIPE.format(steps=steps))
        return [
            "train",
            "--config",
            str(recipe),
            "--data",
            str(folder / "maps"),
            "--out",
            str(out),
            "--no-tensorboard",
        ]

    with timed(row):
        for turn in range(count):
            dice = random.Random(f"{seed} train {turn}")
            number = dice.choice(SIGNALS)
            before = commands.leftovers(out)
            pid = commands.start(command(100_000), log)
            _strike(pid, dice, 2.0, out, number, before)
            _check(row, f"train {turn}", commands.wait(pid), number, log, out, before)
            row.tries += 1
            if turn % 10 == 9 or turn == count - 1:
                _resumes(row, turn, command, log, out)
                shutil.rmtree(out, ignore_errors=True)
    return row


def _resumes(row: Row, turn: int, command: Callable[[int], list[str]], log: Path, out: Path) -> None:
    code = commands.wait(commands.start(command(1), log))
    if code != 0 or commands.leftovers(out) or not (out / "model.safetensors").is_file():
        row.fault(f"train {turn}: does not resume: exit code {code}: {log.read_text()[-300:]}")


def _evaluations(folder: Path, count: int, seed: int) -> Row:
    row = Row("kills during evaluate")
    out, log = folder / "scores", folder / "log"
    out.mkdir()
    files = {"--json": out / "a.json", "--markdown": out / "a.md", "--html": out / "a.html"}
    command = [
        "evaluate",
        "--force",
        "--set",
        "procedural",
        "--limit",
        "1",
        "--methods",
        "medium,weighted",
        "--protocols",
        "peers",
    ]
    for option, path in files.items():
        command += [option, str(path)]
    with timed(row):
        begun = time.monotonic()
        if commands.wait(commands.start(command, log), 120) != 0:
            raise RuntimeError(log.read_text()[-300:])
        longest = time.monotonic() - begun
        ends = {path: path.read_bytes()[-20:] for path in files.values()}
        for turn in range(count):
            dice = random.Random(f"{seed} evaluate {turn}")
            number = dice.choice(SIGNALS)
            for path in files.values():
                path.write_bytes(b"old")
            before = commands.leftovers(out)
            pid = commands.start(command, log)
            _strike(pid, dice, longest, out, number, before)
            _check(row, f"evaluate {turn}", commands.wait(pid), number, log, out, before)
            row.tries += 1
            for path, end in ends.items():
                content = path.read_bytes()
                if content != b"old" and content[-20:] != end:
                    row.fault(f"evaluate {turn}: {path.name} is torn: {len(content)} bytes")
    return row
