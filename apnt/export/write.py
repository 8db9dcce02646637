"""Programs as files: of torch.export, of AOTInductor, and ONNX."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import torch
from torch.export import ExportedProgram

from apnt.errors import InputError
from apnt.export.program import PRECISIONS, to_program
from apnt.io.files import atomic_path, check_output
from apnt.nn import APNTFusion


class Format(NamedTuple):
    """A kind of file.

    Attributes:
        suffix: of the file.
        precisions: that it can hold.
        write: program, path and note to the file.
    """

    suffix: str
    precisions: tuple[str, ...]
    write: Callable[[ExportedProgram, Path, dict[str, str]], None]


def _write_pt2(program: ExportedProgram, path: Path, note: dict[str, str]) -> None:
    content = io.BytesIO()  # torch's own writer ends the process where the disk is full
    torch.export.save(program, content, extra_files={"apnt.json": json.dumps(note)})
    path.write_bytes(content.getbuffer())


def _write_aoti(program: ExportedProgram, path: Path, note: dict[str, str]) -> None:
    from torch._inductor import aoti_compile_and_package

    content = io.BytesIO()  # as above
    aoti_compile_and_package(program, package_path=content, inductor_configs={"aot_inductor.metadata": note})
    path.write_bytes(content.getbuffer())


def _write_onnx(program: ExportedProgram, path: Path, note: dict[str, str]) -> None:
    try:
        from apnt.export import plain
    except ModuleNotFoundError as error:
        raise InputError(
            f"format onnx needs packages that are not there ({error}): pip install 'apnt[onnx]'"
        ) from error
    operators = torch.ops.apnt
    made = torch.onnx.export(
        program,
        (),
        dynamo=True,
        opset_version=OPSET,
        verbose=False,
        optimize=False,  # runtimes optimize what they load
        custom_translation_table={
            operators.window_match.default: plain.window_match,
            operators.patch_swap.default: plain.patch_swap,
        },
    )
    assert made is not None
    made.model.metadata_props.update(note)
    path.write_bytes(made.model_proto.SerializeToString())


OPSET = 20
"""Of ONNX: the first whose GridSample is cubic; bfloat16 convolutions begin with 22."""

FORMATS = {
    "pt2": Format(".pt2", PRECISIONS, _write_pt2),
    "aoti": Format(".pt2", PRECISIONS, _write_aoti),
    "onnx": Format(".onnx", ("fp32",), _write_onnx),
}
"""``pt2``: torch.export's program; ``aoti``: machine code of AOTInductor; ``onnx``: for other runtimes."""


def check(path: str | Path, format: str, precision: str = "fp32", *, force: bool = True) -> Path:
    """Check, before the work, that a network can be written so.

    Raises:
        InputError: a format, precision or file name that cannot be, or, unless ``force``, a file that exists.
    """
    if format not in FORMATS:
        raise InputError(f"format must be one of {', '.join(FORMATS)}, got {format!r}")
    kind = FORMATS[format]
    if precision not in kind.precisions:
        raise InputError(
            f"precision of format {format} must be {' or '.join(kind.precisions)}, got {precision!r}"
        )
    return check_output(path, (kind.suffix,), force=force)


def export(
    network: APNTFusion,
    path: str | Path,
    *,
    format: str = "pt2",
    precision: str = "fp32",
    longest: int | None = None,
) -> Path:
    """Write a network as one file that takes any height and width.

    Args:
        network: on the CPU, such as :meth:`apnt.APNTFusion.from_pretrained` returns.
        path: of the file, ``.pt2`` or ``.onnx``; an existing one is replaced in one step or left whole.
        format: out of :data:`FORMATS`.
        precision, longest: see :func:`apnt.export.to_program`.

    Returns:
        The path.

    Raises:
        InputError: an argument that cannot be, or operators or packages that are not there.
        OSError: the file cannot be written.
    """
    target = check(path, format, precision)
    program = to_program(network, precision=precision, longest=longest)
    note = {"apnt_config": json.dumps(asdict(network.config)), "precision": precision}
    with atomic_path(target) as temporary:
        FORMATS[format].write(program, temporary, note)
    return target
