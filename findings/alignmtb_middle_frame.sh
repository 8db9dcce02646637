#!/usr/bin/env bash
# One expects: AlignMTB.process(frames, aligned) fills all of `aligned`; or, given an empty list, returns
# the frames.
# What happens: the middle frame, to which the others are aligned, is never written. The zeros that
# `aligned` was made with stay, an empty list stays empty, and the call returns None. Only process(frames,
# frames), in place, is complete.
# Why it matters: the middle exposure is usually the reference of the fusion. It is all black then, mergers
# accept it as a correct underexposed frame, and the result is merely noisier and darker, with no error.
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

scene = cv2.GaussianBlur(np.random.default_rng(3).random((200, 300, 3)).astype(np.float32), (0, 0), 8)
scene = (scene - scene.min()) / np.ptp(scene)
frames = [(np.minimum(scene * gain, 1) * 255).astype(np.uint8) for gain in (0.5, 1, 2)]
align = cv2.createAlignMTB()
print("OpenCV", cv2.__version__)

aligned = [np.zeros_like(frame) for frame in frames]
returned = align.process(frames, aligned)
print("new arrays: returned", returned, "means", [round(float(a.mean()), 1) for a in aligned])
empty = []
align.process(frames, empty)
print("empty list: has now", len(empty), "frames")
in_place = [frame.copy() for frame in frames]
align.process(in_place, in_place)
print("in place: means", [round(float(a.mean()), 1) for a in in_place])

if returned is not None or empty:
    raise SystemExit("changed: process returns the frames or fills the list")
if aligned[1].any() or not aligned[0].any() or not aligned[2].any():
    raise SystemExit("changed: the middle frame is now written")
if not all(a.any() for a in in_place):
    raise SystemExit("changed: in place the frames are no longer complete")
PY
