#!/usr/bin/env bash
# One expects: under torch.autocast("cpu", torch.bfloat16) tensors that lie in float16 are joined as everywhere else.
# Sums of them stay float16 there, products become bfloat16, and even float64 is joined.
# What happens: torch.cat and torch.stack, whose types autocast settles itself, raise a RuntimeError "Unexpected
# floating ScalarType in at::autocast::prioritize", which names neither the function nor the type, for two tensors
# of float16 as for float16 beside float32. Under autocast to float16 the same befalls bfloat16.
# Why it matters: numbers that are kept small in float16, such as fractions of a pixel, are joined only where a picture
# has more than one row of tiles, so small pictures do not show it.
# Remedy: apnt makes float32 of them before it joins them.
# Seen with torch 2.13.0 on x86-64, 2026-11-30; open upstream since 2023 (pytorch issue 100932).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
cd "$work"
venv/bin/python - <<'PY'
import torch

print("torch", torch.__version__)
half = torch.ones(2, 2, dtype=torch.float16)
calls = {
    "cat of float16": lambda: torch.cat([half, half]),
    "stack of float16": lambda: torch.stack([half, half]),
    "cat of float16 and float32": lambda: torch.cat([half, half.float()]),
    "cat of float64": lambda: torch.cat([half.double(), half.double()]),
    "sum of float16": lambda: half + half,
    "product of float16": lambda: half @ half,
}
found = {}
with torch.autocast("cpu", torch.bfloat16):
    for name, call in calls.items():
        try:
            found[name] = str(call().dtype)
        except RuntimeError as error:
            found[name] = str(error).splitlines()[0]
for name, what in found.items():
    print(f"{name}: {what}")
refused = "Unexpected floating ScalarType in at::autocast::prioritize"
expected = [refused] * 3 + ["torch.float64", "torch.float16", "torch.bfloat16"]
if list(found.values()) != expected:
    raise SystemExit("changed: autocast joins other types than it did")
PY
