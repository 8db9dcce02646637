#!/usr/bin/env bash
# One expects: OpenCV's AlignMTB works on 16-bit frames (it takes them), or refuses them.
# What happens: two identical 16-bit frames are found shifted by (-1, -1), and real shifts come out at about
# twice their size. Identical 8-bit frames give (0, 0) and exact shifts.
# Why it matters: aligning the 16-bit developments of a raw bracket makes it worse than leaving it, and the
# one pixel of a tripod bracket looks like real camera shake. Remedy: estimate the shift on 8-bit copies,
# apply it to the frames.
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

random = np.random.default_rng(3)
scene = np.full((300, 400), 0.2, np.float32)
for _ in range(60):
    centre = (int(random.integers(400)), int(random.integers(300)))
    cv2.circle(scene, centre, int(random.integers(8, 50)), float(random.random()), -1)
scene = cv2.GaussianBlur(scene, (0, 0), 1.2)
align = cv2.createAlignMTB()
print("OpenCV", cv2.__version__)
found = {}
for dtype in (np.uint8, np.uint16):
    frame = (scene * np.iinfo(dtype).max).astype(dtype)
    for down, right in ((0, 0), (3, 5), (-4, 8)):
        shift = align.calculateShift(frame, np.roll(frame, (down, right), (0, 1)))
        found[dtype, down, right] = tuple(shift)
        print(f"{dtype.__name__:6}: moved by ({-right}, {-down}) to come back, found {tuple(shift)}")
for down, right in ((0, 0), (3, 5), (-4, 8)):
    if found[np.uint8, down, right] != (-right, -down):
        raise SystemExit("changed: 8-bit frames are no longer aligned exactly")
if found[np.uint16, 0, 0] != (-1, -1) or found[np.uint16, 3, 5][0] > -8 or found[np.uint16, -4, 8][0] > -14:
    raise SystemExit("changed: 16-bit frames are now shifted otherwise")
PY
