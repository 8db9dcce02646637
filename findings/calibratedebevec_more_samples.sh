#!/usr/bin/env bash
# One expects: CalibrateDebevec's curve gets better with more samples, at worst it stays as it is.
# What happens: it gets worse. The smoothness `lambda` is weighed against the sum over all samples, not their
# mean, so that 600 instead of the 70 samples of the default do what a ninth of `lambda` does: on three frames,
# three stops apart, of a still scene with little noise the median error of light doubles from 6 to 14 %. With
# `lambda` raised by the same factor it is 2 %.
# Why it matters: three frames tell a curve only up to waves with the period of the exposure ratio, and the
# smoothness is all that removes them. Who asks for more samples against noise gets a wavy curve that
# reproduces the calibration frames. Remedy: raise `lambda` with the number of samples, 100 and more for three.
# Seen with opencv-python-headless 5.0.0.93, 2026-11-29.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check opencv-python-headless==5.0.0.93 numpy==2.4.6
cd "$work"
venv/bin/python - <<'PY'
import cv2
import numpy as np

times = np.array([1 / 8, 1, 8], np.float32)
compared = slice(13, 243)  # levels from 0.05 to 0.95
truth = np.log((np.arange(256)[compared] / 255) ** 2.2)


def frames(seed):
    rng = np.random.default_rng(seed)
    light = cv2.GaussianBlur(np.exp(rng.normal(0, 2, (240, 320))), (0, 0), 1.5)
    light *= 0.5 / np.percentile(light, 99)
    for time in times:
        value = np.clip(light * time, 0, 1) ** (1 / 2.2) + rng.normal(0, 0.004, light.shape)
        yield np.dstack([np.round(255 * np.clip(value, 0, 1)).astype(np.uint8)] * 3)


def error(bracket, samples, smoothness):
    curve = cv2.createCalibrateDebevec(samples=samples, lambda_=smoothness).process(bracket, times)
    off = np.log(curve.reshape(256, 3)[compared, 1].astype(float)) - truth
    return np.median(np.expm1(np.abs(off - np.median(off))))


print("OpenCV", cv2.__version__)
brackets = [list(frames(seed)) for seed in range(8)]
found = {}
for samples, smoothness in ((70, 10), (600, 10), (600, 86)):
    found[samples, smoothness] = np.median([error(bracket, samples, smoothness) for bracket in brackets])
    print(f"{samples} samples, lambda {smoothness}: median error of light {found[samples, smoothness]:.1%}")
if not found[600, 10] > 1.5 * found[70, 10] > 3 * found[600, 86]:
    raise SystemExit("changed: more samples no longer make the curve worse")
PY
