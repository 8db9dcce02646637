"""The text of PTX as data: a module has kernels, a kernel has parameters, registers and instructions."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property

BYTES = {"pred": 1} | {f"{kind}{bits}": bits // 8 for kind in "usbf" for bits in (8, 16, 32, 64)}
"""Size of a value of a type."""

NAME = r"[\w$]+"
_SHARED = re.compile(rf"(?<!extern )\.shared \.align (\d+) \.(\w+) ({NAME})(?:\[(\d+)\])?")
"""Alignment, type, name and length: an array of one element is a number without a length."""


@dataclass(frozen=True)
class Instruction:
    """``@guard operation arguments``, as in ``@!%p1 add.f32 %f1, %f2, %f3``."""

    parts: tuple[str, ...]  # add, f32
    arguments: tuple[str, ...]
    guard: str | None
    negated: bool
    text: str

    @property
    def name(self) -> str:
        return self.parts[0]


@dataclass
class Kernel:
    name: str
    parameters: dict[str, tuple[int, int]] = field(default_factory=dict)  # offset, bytes
    registers: dict[str, str] = field(default_factory=dict)  # type
    shared: dict[str, int] = field(default_factory=dict)  # offset of each static array
    shared_bytes: int = 0  # of all static arrays
    dynamic: frozenset[str] = frozenset()  # names of the array that a launch sizes
    local: tuple[str, int] | None = None  # name and bytes of a thread's stack
    most_threads: int = 1024
    code: list[Instruction] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)  # position in the code

    def parameter_bytes(self) -> list[int]:
        return [size for _, size in self.parameters.values()]


class Module:
    """One file of PTX. Kernels are parsed when they are asked for."""

    def __init__(self, text: str) -> None:
        self.text = re.sub(r"//[^\n]*", "", text)

    @cached_property
    def entries(self) -> dict[str, tuple[str, str, str]]:
        """Parameters, attributes and body of every kernel."""
        found = {}
        for head in re.finditer(r"\.entry\s+(\w+)\s*\(([^)]*)\)([^{]*)\{", self.text):
            end, depth = head.end(), 1
            while depth:
                depth += {"{": 1, "}": -1}.get(self.text[end], 0)
                end += 1
            found[head[1]] = head[2], head[3], self.text[head.end() : end - 1]
        return found

    def kernel(self, name: str) -> Kernel:
        parameters, attributes, body = self.entries[name]
        kernel = Kernel(name)
        offset = 0
        for text in filter(None, (part.strip() for part in parameters.split(","))):
            match = re.fullmatch(r"\.param\s+(?:\.align (\d+)\s+)?\.(\w+)\s+(\w+)(?:\[(\d+)\])?", text)
            assert match is not None, text
            size = BYTES[match[2]] * int(match[4] or 1)
            offset = aligned(offset, int(match[1] or BYTES[match[2]]))
            kernel.parameters[match[3]] = offset, size
            offset += size
        most = re.search(r"\.maxntid (\d+)", attributes)
        kernel.most_threads = int(most[1]) if most else 1024
        outer = self.text
        kernel.dynamic = frozenset(re.findall(r"\.extern \.shared \.align \d+ \.b8 (\w+)\[\]", outer))
        for array in _SHARED.finditer(outer):
            if re.search(rf"(?<![\w$]){re.escape(array[3])}(?![\w$])", body):
                add_shared(kernel, array)
        _Body(kernel).read(body)
        return kernel


def aligned(offset: int, alignment: int) -> int:
    return -(-offset // alignment) * alignment


def add_shared(kernel: Kernel, array: re.Match[str]) -> None:
    alignment, kind, name, length = array.groups()
    if name in kernel.shared:
        return
    kernel.shared[name] = aligned(kernel.shared_bytes, int(alignment))
    kernel.shared_bytes = kernel.shared[name] + BYTES[kind] * int(length or 1)


class _Body:
    """Reads the statements of a kernel; registers declared in an inner block get a name of their own."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.scopes: list[dict[str, str]] = [{}]
        self.renamed = 0

    def read(self, body: str) -> None:
        for statement in statements(body):
            if statement == "{":
                self.scopes.append({})
            elif statement == "}":
                self.scopes.pop()
            elif statement.endswith(":"):
                self.kernel.labels[statement[:-1]] = len(self.kernel.code)
            elif statement.startswith(".reg"):
                self.declare(statement)
            elif statement.startswith(".local"):
                stack = re.fullmatch(rf"\.local \.align \d+ \.b8 ({NAME})\[(\d+)\]", statement)
                assert stack is not None, statement
                self.kernel.local = stack[1], int(stack[2])
            elif statement.startswith(".shared"):
                array = _SHARED.fullmatch(statement)
                assert array is not None, statement
                add_shared(self.kernel, array)
            elif not statement.startswith((".pragma", ".loc")):
                self.kernel.code.append(self.instruction(statement))

    def declare(self, statement: str) -> None:
        match = re.fullmatch(r"\.reg \.(\w+)\s+(.*)", statement)
        assert match is not None, statement
        for name in (part.strip() for part in match[2].split(",")):
            many = re.fullmatch(r"(%\w+)<(\d+)>", name)
            if many:
                self.kernel.registers |= {f"{many[1]}{i}": match[1] for i in range(int(many[2]))}
                continue
            unique = name
            if len(self.scopes) > 1:
                self.renamed += 1
                unique = self.scopes[-1][name] = f"{name}__{self.renamed}"
            self.kernel.registers[unique] = match[1]

    def instruction(self, statement: str) -> Instruction:
        def inner(match: re.Match[str]) -> str:
            return next((scope[match[0]] for scope in reversed(self.scopes) if match[0] in scope), match[0])

        text = re.sub(r"%\w+", inner, statement)
        match = re.fullmatch(r"(?:@(!?)(%\w+)\s+)?([\w.:]+)\s*(.*)", text)
        assert match is not None, statement
        parts = tuple(match[3].replace("::", "_").split("."))
        return Instruction(parts, tuple(split(match[4])), match[2], match[1] == "!", text)


def statements(body: str) -> list[str]:
    """Statements without their semicolons, labels with their colon, and the braces of blocks."""
    found, current, braces = [], "", 0
    for sign in re.sub(r"\s+", " ", body):
        if sign == "{" and not current.strip():
            found.append("{")
            current = ""
        elif sign == "}" and not braces:
            found.append("}")
            current = ""
        elif sign == ";" or (sign == ":" and re.fullmatch(r"\s*\$?[\w$]+", current)):
            found.append(current.strip() + (":" if sign == ":" else ""))
            current = ""
        else:
            braces += {"{": 1, "}": -1}.get(sign, 0)
            current += sign
    return [statement for statement in found if statement]


def split(text: str) -> list[str]:
    """The arguments: at commas outside of braces and brackets."""
    return [part.strip() for part in re.findall(r"(?:\{[^}]*\}|\[[^\]]*\]|[^,{\[])+", text) if part.strip()]


def registers_of(argument: str) -> list[str]:
    """``{%r1, %r2}`` or ``%r1``."""
    return [part.strip() for part in argument.strip("{}").split(",")]
