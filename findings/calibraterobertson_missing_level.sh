#!/usr/bin/env bash
# One expects: a response curve from CalibrateRobertson is smooth and complete, as that of CalibrateDebevec.
# What happens: every level that occurs in none of the calibration frames is NaN in the curve. Merging the
# same frames hides it, since they never use those levels; any other bracket has NaN in its radiance.
# Why it matters: a curve belongs to a camera and is kept and reused. Gamma-coded shadows and limited-range
# frames always leave levels out. Remedy: interpolate the curve over its finite entries, and check it before
# it is stored.
# Seen with opencv-python-headless 5.0.0.93, 2026-11-28.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check opencv-python-headless==5.0.0.93 numpy==2.4.6
cd "$work"
venv/bin/python - <<'PY'
import cv2
import numpy as np

times = np.array([0.25, 1, 4], np.float32)
y, x = np.mgrid[:200, :300].astype(np.float32)
first = np.exp(x / 299 * 5 - 4) * (0.7 + 0.3 * np.sin(y / 9))
second = first / 8  # a darker scene of the same camera


def bracket(radiance):
    return [
        np.dstack([np.round(np.clip(radiance * t, 0, 1) ** (1 / 2.2) * 255).astype(np.uint8)] * 3)
        for t in times
    ]


print("OpenCV", cv2.__version__)
frames, others = bracket(first), bracket(second)
missing = sorted(set(range(256)) - set(np.unique(frames).tolist()))
robertson = cv2.createCalibrateRobertson().process(frames, times)
debevec = cv2.createCalibrateDebevec().process(frames, times)
undefined = np.flatnonzero(np.isnan(robertson[:, 0, 0])).tolist()
print("levels in no frame:", missing)
print("NaN in the curve of Robertson:", undefined)
print("NaN in the curve of Debevec:", int(np.isnan(debevec).sum()))
same, other = (cv2.createMergeRobertson().process(f, times, robertson) for f in (frames, others))
print(
    f"NaN in the radiance: same frames {np.isnan(same).mean():.3f}, second scene {np.isnan(other).mean():.3f}"
)
if not missing or undefined != missing or np.isnan(debevec).any():
    raise SystemExit("changed: the levels that are NaN are no longer those that no frame has")
if np.isnan(same).any() or not np.isnan(other).any():
    raise SystemExit("changed: the curve no longer gives NaN for another scene alone")
PY
