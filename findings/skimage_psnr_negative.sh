#!/usr/bin/env bash
# One expects: a value of -1e-7 in the truth, which resizing leaves beside an edge, does not change a PSNR.
# What happens: `peak_signal_noise_ratio` of floats without `data_range` takes a peak of 1 where the truth has no
# negative value, and of 2 where it has one: the result rises by 6.02 dB. Only the truth is asked, not the estimate.
# Why it matters: truths of HDR sets come from merges, lossy EXR files and bicubic reduction, all of which leave tiny
# negatives in some images and none in others, so a mean over a set mixes two scales, and exchanging the arguments
# changes the result. apnt clips to [0, 1] and states the peak.
# Seen with scikit-image 0.26.0, 2026-11-30.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check scikit-image==0.26.0 numpy==2.4.6
cd "$work"
venv/bin/python - 2>/dev/null <<'PY'
import numpy as np
import skimage
from skimage.metrics import peak_signal_noise_ratio

print("scikit-image", skimage.__version__)
rng = np.random.default_rng(0)
truth = rng.random((64, 96, 3)).astype(np.float32)
truth[0, 0, 0] = 0.0
estimate = (truth + 0.01 * rng.standard_normal(truth.shape)).astype(np.float32)
below = truth.copy()
below[0, 0, 0] = -1e-7
plain = peak_signal_noise_ratio(truth, estimate)
with_one = peak_signal_noise_ratio(below, estimate)
exchanged = peak_signal_noise_ratio(estimate.clip(-1, 1), below)
stated = [peak_signal_noise_ratio(image, estimate, data_range=1) for image in (truth, below)]
print(f"truth from 0 on: {plain:.2f} dB; with one value of -1e-7: {with_one:.2f} dB")
print(f"with data_range=1: {stated[0]:.2f} and {stated[1]:.2f} dB; estimate and truth exchanged: {exchanged:.2f} dB")
if abs(with_one - plain - 20 * np.log10(2)) > 0.01:
    raise SystemExit("changed: one tiny negative value no longer adds 6.02 dB")
if abs(stated[0] - stated[1]) > 0.01:
    raise SystemExit("changed: the stated range is not taken")
PY
