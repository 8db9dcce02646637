"""Files of every kind, changed by chance or cut off: pixels that make sense, or one sentence."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pool
from results import Row, timed
from samples import Sample, samples

from apnt.errors import InputError

_EXTREME = (
    b"\0\0\0\0",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\0\0\0\x80",
    b"\x80\0\0\0",
)
_CONTROL = 200  # one file in so many is whole
_HEADER = 600  # bytes from the start that are cut at every one


def mutated(content: bytes, dice: random.Random) -> bytes:
    """The file with one to four changes: bytes, bits, extreme numbers, parts moved, doubled or cut out."""
    data = bytearray(content)
    for _ in range(dice.randint(1, 4)):
        reach = len(data) if dice.random() < 0.5 else min(len(data), 400)  # headers stand first
        at = dice.randrange(max(reach, 1))
        match dice.randrange(7):
            case 0 | 1:
                data[at : at + 1] = bytes([dice.randrange(256)])
            case 2:
                data[at : at + 1] = bytes([(data[at] if at < len(data) else 0) ^ 1 << dice.randrange(8)])
            case 3:
                number = dice.choice(_EXTREME)[: dice.choice((1, 2, 4))]
                data[at : at + len(number)] = number
            case 4:
                del data[at : at + dice.randint(1, 64)]
            case 5:
                data[at:at] = data[at : at + dice.randint(1, 64)]
            case 6:
                data = data[: dice.randrange(1, len(data) + 1)]
        data = data or bytearray(b"\0")
    return bytes(data)


def outcome(sample: Sample, content: bytes, folder: Path, whole: bool = True) -> str | None:
    """What is wrong with how a file is read; None where it is read, or refused in a sentence."""
    path = folder / sample.name
    path.write_bytes(content)
    try:
        found = sample.read(path)
    except (InputError, MemoryError) as error:
        text = str(error)
        if "\n" in text or len(text) < 10:
            return f"{sample.kind}: no sentence: {text!r}"
        return None
    finally:
        path.unlink()
    if not whole and found is not None:
        return f"{sample.kind}: {len(content)} of {len(sample.content)} bytes were read as whole"
    if found is not None and not (np.isfinite(found).all() and found.min() >= 0):
        return f"{sample.kind}: values from {found.min()} to {found.max()}"
    return None


def control(sample: Sample, folder: Path) -> str | None:
    """What is wrong with how the whole file is read."""
    path = folder / sample.name
    path.write_bytes(sample.content)
    try:
        sample.read(path)
    except (InputError, MemoryError) as error:
        return f"{sample.kind}: the whole file is refused: {error}" if sample.whole else None
    return None if sample.whole else f"{sample.kind}: a part of a file is read"


def mutations(total: int, seed: int) -> list[Row]:
    """As many mutated files in all, an equal share of every kind."""
    every = samples()
    rows = []
    for sample in every:
        row = Row(f"mutated files: {sample.kind}")

        def case(number: int, folder: Path, sample: Sample = sample) -> str | None:
            if number % _CONTROL == 0:  # a worker in which nothing can be read would find no fault either
                return control(sample, folder)
            dice = random.Random(f"{seed} {sample.kind} {number}")
            return outcome(sample, mutated(sample.content, dice), folder)

        with timed(row):
            pool.run(row, case, -(-total // len(every)))
        rows.append(row)
    return rows


def truncations(total: int, seed: int) -> list[Row]:
    """Files that end early, at every byte of their headers and then at chance."""
    every = samples()
    row = Row("files cut off, at every byte of the header, then anywhere in the first half")
    with timed(row):
        for sample in every:
            count = -(-total // len(every))
            size = len(sample.content)

            def case(number: int, folder: Path, sample: Sample = sample, size: int = size) -> str | None:
                dice = random.Random(f"{seed} {sample.kind} {number}")
                end = number if number < min(_HEADER, size // 2) else dice.randrange(size // 2)
                return outcome(sample, sample.content[:end], folder, whole=False)

            pool.run(row, case, count)
    return [row]
