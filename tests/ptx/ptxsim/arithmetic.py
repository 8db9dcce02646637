"""Instructions on numbers: integers wrap; floats round to nearest even, as NumPy's do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .machine import NUMPY, Group, Machine, Step
from .memory import Fault
from .parse import BYTES, Instruction

Function = Callable[..., Any]

_COMPARE: dict[str, Function] = {
    "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal, "eq": np.equal,
    "lo": np.less, "ls": np.less_equal, "hi": np.greater, "hs": np.greater_equal, "neu": np.not_equal,
    "ne": lambda a, b: (a < b) | (a > b), "equ": lambda a, b: ~((a < b) | (a > b)),
    "ltu": lambda a, b: ~(a >= b), "leu": lambda a, b: ~(a > b), "gtu": lambda a, b: ~(a <= b),
    "geu": lambda a, b: ~(a < b), "num": lambda a, b: (a == a) & (b == b),
    "nan": lambda a, b: (a != a) | (b != b),
}  # fmt: skip
_LOGIC: dict[str, Function] = {"and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor}
_TWICE = {"u16": "u32", "s16": "s32", "u32": "u64", "s32": "s64"}


def _apply(machine: Machine, code: Instruction, function: Function, kinds: str | tuple[str, ...],
           result: str | None = None) -> Step:  # fmt: skip
    """``function`` of the arguments after the first, of these types; the first gets it, as ``result`` (or
    theirs)."""
    inputs = code.arguments[1:]
    each = (kinds,) * len(inputs) if isinstance(kinds, str) else kinds
    reads = [machine.reader(operand, kind) for operand, kind in zip(inputs, each, strict=True)]
    write = machine.writer(code.arguments[0], result or each[0])

    def step(group: Group) -> None:
        with np.errstate(all="ignore"):
            write(group, function(*[read(group) for read in reads]))

    return step


def _plain(functions: dict[str, Function]) -> Callable[[Machine, Instruction], Step]:
    def compile_one(machine: Machine, code: Instruction) -> Step:
        return _apply(machine, code, functions[code.name], code.parts[-1])

    return compile_one


def _multiply(machine: Machine, code: Instruction) -> Step:
    kind = code.parts[-1]
    if kind[0] == "f":
        return _apply(machine, code, np.multiply, kind)
    mode, adds = code.parts[1], code.name == "mad"
    if mode == "lo":
        function: Function = (lambda a, b, c: a * b + c) if adds else np.multiply
        return _apply(machine, code, function, kind)
    wide = _TWICE[kind]
    twice = NUMPY[wide]
    if mode == "wide":
        if adds:
            kinds = (kind, kind, wide)
            return _apply(machine, code, lambda a, b, c: twice(a) * twice(b) + c, kinds, wide)
        return _apply(machine, code, lambda a, b: twice(a) * twice(b), kind, wide)
    if mode == "hi" and not adds:
        half = twice(8 * BYTES[kind])
        return _apply(machine, code, lambda a, b: ((twice(a) * twice(b)) >> half).astype(NUMPY[kind]), kind)
    raise Fault(f"not understood: {code.text}")


def _fma(machine: Machine, code: Instruction) -> Step:
    if code.parts[-1] == "f64":
        return _apply(machine, code, lambda a, b, c: a * b + c, "f64")
    # The product is exact in float64; the sum is rounded twice, which differs in one of 2**29 cases.
    double = np.float64
    return _apply(machine, code, lambda a, b, c: np.float32(double(a) * double(b) + double(c)), "f32")


def _divide(machine: Machine, code: Instruction) -> Step:
    kind = code.parts[-1]
    if kind[0] == "f":
        return _apply(machine, code, np.divide, kind)
    # Towards zero. The hardware's result of a division by zero is unspecified.
    if kind[0] == "u":
        function = np.floor_divide if code.name == "div" else np.remainder
        return _apply(machine, code, function, kind)

    def quotient(a: Any, b: Any) -> Any:
        whole = np.abs(a) // np.abs(b)
        return np.where((a < 0) != (b < 0), -whole, whole)

    return _apply(machine, code, quotient if code.name == "div" else np.fmod, kind)


def _shift(machine: Machine, code: Instruction) -> Step:
    kind, left = code.parts[-1], code.name == "shl"
    bits, dtype = 8 * BYTES[kind], NUMPY[kind]

    def function(a: Any, count: Any) -> Any:
        # Counts from the width on give what the last possible shift and one more would.
        most = np.minimum(count, bits - 1).astype(dtype)
        if left:
            return np.where(count >= bits, dtype(0), a << most)
        return np.where(count >= bits, (a >> most) >> dtype(1), a >> most)

    return _apply(machine, code, function, (kind, "u32"))


def _funnel(machine: Machine, code: Instruction) -> Step:
    left, wraps = code.parts[1] == "l", code.parts[2] == "wrap"

    def function(low: Any, high: Any, count: Any) -> Any:
        both = np.uint64(low) | np.uint64(high) << np.uint64(32)
        by = np.uint64(count) & np.uint64(31) if wraps else np.minimum(np.uint64(count), np.uint64(32))
        shifted = (both << by) >> np.uint64(32) if left else both >> by
        return (shifted & np.uint64(0xFFFFFFFF)).astype(np.uint32)

    return _apply(machine, code, function, "u32")


def _compare(machine: Machine, code: Instruction) -> Step:
    kind = code.parts[-1]
    compare = _COMPARE[code.parts[1]]
    if code.parts[1] == "ne" and kind[0] != "f":
        compare = np.not_equal
    if len(code.parts) == 3:
        return _apply(machine, code, compare, kind, "pred")
    logic = _LOGIC[code.parts[2]]  # with a third predicate
    return _apply(machine, code, lambda a, b, c: logic(compare(a, b), c), (kind, kind, "pred"), "pred")


def _select(machine: Machine, code: Instruction) -> Step:
    kind = code.parts[-1]
    return _apply(machine, code, lambda a, b, chosen: np.where(chosen, a, b), (kind, kind, "pred"))


def _logic3(machine: Machine, code: Instruction) -> Step:
    table = int(code.arguments[4], 0)

    def function(a: Any, b: Any, c: Any, _table: Any) -> Any:
        found = np.zeros_like(a | b | c)
        for case in range(8):
            if table >> case & 1:
                x, y, z = (v if case >> bit & 1 else ~v for v, bit in ((a, 2), (b, 1), (c, 0)))
                found |= x & y & z
        return found

    return _apply(machine, code, function, "b32")


def _insert(machine: Machine, code: Instruction) -> Step:
    def function(a: Any, b: Any, at: Any, count: Any) -> Any:
        mask = ((np.uint64(1) << np.uint64(count)) - np.uint64(1)) << np.uint64(at)
        return ((np.uint64(b) & ~mask) | ((np.uint64(a) << np.uint64(at)) & mask)).astype(np.uint32)

    return _apply(machine, code, function, "u32")


def _extract(machine: Machine, code: Instruction) -> Step:
    kind = code.parts[-1]
    if kind != "u32":
        raise Fault(f"not understood: {code.text}")

    def function(a: Any, at: Any, count: Any) -> Any:
        mask = (np.uint64(1) << np.uint64(count)) - np.uint64(1)
        return (np.uint64(a) >> np.uint64(at) & mask).astype(np.uint32)

    return _apply(machine, code, function, "u32")


def _permute(machine: Machine, code: Instruction) -> Step:
    def function(a: Any, b: Any, selector: Any) -> Any:
        both, found = np.uint64(a) | np.uint64(b) << np.uint64(32), np.uint64(0)
        for byte in range(4):
            choice = np.uint64(selector) >> np.uint64(4 * byte) & np.uint64(7)
            found = found | (both >> (choice * np.uint64(8)) & np.uint64(255)) << np.uint64(8 * byte)
        return found.astype(np.uint32)

    return _apply(machine, code, function, "u32")


def _population(machine: Machine, code: Instruction) -> Step:
    return _apply(machine, code, lambda a: np.bitwise_count(a).astype(np.uint32), code.parts[-1], "u32")


def _leading_zeros(machine: Machine, code: Instruction) -> Step:
    bits = 8 * BYTES[code.parts[-1]]

    def function(a: Any) -> Any:
        left, count = np.array(a, np.uint64), np.zeros(np.shape(a), np.uint32)
        for bit in range(bits):
            count += (left >> np.uint64(bit) != 0).astype(np.uint32)
        return np.uint32(bits) - count

    return _apply(machine, code, function, code.parts[-1], "u32")


def to_bf16(bits: Any) -> Any:
    """float32's bits to the nearest bfloat16's, ties to even."""
    one = np.uint32(1)
    rounded = (bits + np.uint32(0x7FFF) + (bits >> np.uint32(16) & one)) >> np.uint32(16)
    nan = (bits & np.uint32(0x7FFFFFFF)) > np.uint32(0x7F800000)
    return np.where(nan, np.uint32(0x7FFF), rounded).astype(np.uint16)


def to_tf32(bits: Any) -> Any:
    """float32's bits to those of the nearest number with 10 bits of mantissa, ties away from zero."""
    finite = bits & np.uint32(0x7F800000) != np.uint32(0x7F800000)
    return np.where(finite, (bits + np.uint32(0x1000)) & np.uint32(0xFFFFE000), bits)


def _convert(machine: Machine, code: Instruction) -> Step:
    to, of = code.parts[-2], code.parts[-1]
    if to == "tf32":
        return _apply(machine, code, to_tf32, "b32")
    if (to, of) == ("bf16", "f32"):
        return _apply(machine, code, to_bf16, "b32", "b16")
    if (to, of) == ("f32", "bf16"):
        return _apply(machine, code, lambda a: a.astype(np.uint32) << np.uint32(16), "b16", "b32")
    if of == "f16":
        return _apply(machine, code, lambda a: a.view(np.float16).astype(NUMPY[to]), "b16", to)
    if to == "f16":
        return _apply(machine, code, lambda a: a.astype(np.float16).view(np.uint16), of, "b16")
    if of[0] == "f" and to[0] != "f":
        raise Fault(f"not understood: {code.text}")
    return _apply(machine, code, NUMPY[to], of, to)


def _mufu(machine: Machine, code: Instruction) -> Step:
    kind, one = code.parts[-1], NUMPY[code.parts[-1]](1)
    functions: dict[str, Function] = {
        "rcp": lambda a: one / a, "sqrt": np.sqrt, "rsqrt": lambda a: one / np.sqrt(a),
        "ex2": np.exp2, "lg2": np.log2,
    }  # fmt: skip
    return _apply(machine, code, functions[code.name], kind)


TABLE: dict[str, Callable[[Machine, Instruction], Step]] = {
    **dict.fromkeys(("add", "sub"), _plain({"add": np.add, "sub": np.subtract})),
    **dict.fromkeys(("min", "max"), _plain({"min": np.fmin, "max": np.fmax})),
    **dict.fromkeys(("and", "or", "xor"), _plain(_LOGIC)),
    **dict.fromkeys(("neg", "abs"), _plain({"neg": np.negative, "abs": np.abs})),
    "not": _plain({"not": np.invert}),
    "mul": _multiply, "mad": _multiply, "fma": _fma, "div": _divide, "rem": _divide,
    "shl": _shift, "shr": _shift, "shf": _funnel, "setp": _compare, "selp": _select,
    "lop3": _logic3, "bfi": _insert, "bfe": _extract, "prmt": _permute, "popc": _population,
    "clz": _leading_zeros,
    "cvt": _convert, **dict.fromkeys(("rcp", "sqrt", "rsqrt", "ex2", "lg2"), _mufu),
}  # fmt: skip
