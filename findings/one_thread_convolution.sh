#!/usr/bin/env bash
# One expects: the number of threads changes how long a convolution of PyTorch takes on a CPU, not which kernel
# computes it, nor its result.
# What happens: a 1x1 convolution in float32 of fewer than 16 images is computed by oneDNN with two threads, and
# with one by PyTorch's own `slow_conv2d`, through a matrix product. The results differ in their last bits (up to
# 1e-6 of values of about 1). With 3x3 filters the kernel is the same.
# Why it matters: a network's result depends on `torch.set_num_threads` or `OMP_NUM_THREADS`, so what one worker of
# many with a thread each computes is not what a test with two gets; and a benchmark pinned to one core times
# another kernel than the one that runs elsewhere. apnt computes its own 1x1 convolutions of a network that is not
# trained, in one order whatever the number of threads.
# Seen with torch 2.13.0 on x86-64, 2026-11-30. It needs a machine with two processors.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
cd "$work"
venv/bin/python - 2>/dev/null <<'PY'
import torch
from torch.profiler import ProfilerActivity, profile

KERNELS = {"aten::_slow_conv2d_forward": "slow_conv2d", "aten::mkldnn_convolution": "oneDNN"}
print("torch", torch.__version__)
torch.manual_seed(0)
used, results = {}, {}
for side in (1, 3):
    layer = torch.nn.Conv2d(64, 64, side, padding=side // 2)
    x = torch.randn(1, 64, 96, 128)
    for threads in (1, 2):
        torch.set_num_threads(threads)
        with torch.inference_mode(), profile(activities=[ProfilerActivity.CPU]) as seen:
            results[side, threads] = layer(x)
        names = [KERNELS[event.key] for event in seen.key_averages() if event.key in KERNELS]
        used[side, threads] = names[0] if names else "another"
    difference = (results[side, 1] - results[side, 2]).abs().max().item()
    kernels = f"{used[side, 1]} with one thread, {used[side, 2]} with two"
    print(f"{side}x{side}: {kernels}; results differ by up to {difference:.1e}")
if (used[1, 1], used[1, 2]) != ("slow_conv2d", "oneDNN"):
    raise SystemExit("changed: the kernel of a 1x1 convolution no longer depends on the number of threads so")
if torch.equal(results[1, 1], results[1, 2]):
    raise SystemExit("changed: results are now the same")
if (used[3, 1], used[3, 2]) != ("oneDNN", "oneDNN"):
    raise SystemExit("changed: 3x3 convolutions take another kernel")
PY
