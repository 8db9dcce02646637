#!/usr/bin/env bash
# One expects: x.contiguous(memory_format=torch.channels_last) and x.to(memory_format=torch.channels_last) give a tensor
# in that layout, with the strides (H * W * C, 1, W * C, C) that torch.empty(..., memory_format=torch.channels_last) has.
# What happens: for tensors of one channel, or of one pixel, contiguous() returns the tensor itself, whose stride along
# the channels is H * W, or along the columns 1: is_contiguous(memory_format=torch.channels_last) is True for it as well as
# is_contiguous(). to() gives a copy with the strides that one expects. Both have equal numbers and say the same of
# themselves, but a convolution of the one map of one channel gives a contiguous result, of the other a channels-last one.
# Why it matters: an operator that reads channels-last features and looks at their strides, as one written in C++ does,
# refuses masks and single-channel maps that were "made channels-last" for it, or takes its slow way; and one layer that
# gets such a map turns the layout of all that follow.
# Remedy: apnt's operators compare strides of those dimensions alone that have more than one element.
# Seen with torch 2.13.0 on x86-64, 2026-12-01.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
cd "$work"
venv/bin/python - <<'PY'
import torch

print("torch", torch.__version__)
last = torch.channels_last
seen = {}
for name, shape in {"one channel": (2, 1, 5, 7), "one pixel": (2, 3, 1, 1), "three channels": (2, 3, 5, 7)}.items():
    x = torch.ones(shape)
    empty = torch.empty(shape, memory_format=last)
    a, b = x.contiguous(memory_format=last), x.to(memory_format=last)
    assert a.is_contiguous(memory_format=last) and b.is_contiguous(memory_format=last)
    layer = torch.nn.Conv2d(shape[1], 4, 3, padding=1)
    with torch.no_grad():
        results = [layer(y).is_contiguous(memory_format=last) for y in (a, b)]
    seen[name] = a.stride() == empty.stride(), b.stride() == empty.stride(), *results
    print(
        f"{name}: empty {empty.stride()}, contiguous() {a.stride()}, to() {b.stride()}; "
        f"channels-last results of a convolution: {results[0]}, {results[1]}"
    )
wanted = {
    "one channel": (False, True, False, True),
    "one pixel": (False, True),
    "three channels": (True, True, True, True),
}
if any(seen[name][: len(found)] != found for name, found in wanted.items()):
    raise SystemExit("changed: layouts of tensors of one channel or pixel are others than they were")
PY
