#!/usr/bin/env bash
# One expects: MergeMertens, which takes 16-bit and float frames, fuses them as it fuses 8-bit ones.
# What happens: every depth is divided by 255. 16-bit frames then run to 257, float frames to 1/255, so
# "well exposed" (near 0.5) means nothing any more: all pixels have nearly the same exposure weight, and the
# result is close to the plain average of the frames. Rescaling it by 257 does not repair it.
# Why it matters: exposure fusion of 16-bit frames looks flat and is taken for the method's quality in
# comparisons. Remedy: float frames in [0, 255].
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

merge = cv2.createMergeMertens(contrast_weight=0, saturation_weight=0, exposure_weight=1)
scene = np.linspace(0.02, 0.98, 256, dtype=np.float32)[None, :, None].repeat(128, 0).repeat(3, 2)
frames = [np.clip(scene * gain, 0, 1) for gain in (0.25, 1, 4)]
average = sum(frames) / 3
ways = {
    "8 bit": (merge.process([np.round(f * 255).astype(np.uint8) for f in frames]), 1),
    "16 bit": (merge.process([np.round(f * 65535).astype(np.uint16) for f in frames]), 257),
    "float 0..1": (merge.process(frames), 1 / 255),
    "float 0..255": (merge.process([f * 255 for f in frames]), 1),
}
print("OpenCV", cv2.__version__)
right = ways["8 bit"][0]
away = {}
for name, (result, unit) in ways.items():
    scaled = result / unit
    away[name] = (np.abs(scaled - right).mean(), np.abs(scaled - average).mean())
    print(f"{name:12}: largest {result.max():8.3f}; divided by its unit, mean distance to the 8-bit fusion")
    print(f"{'':12}  {away[name][0]:.4f}, to the plain average of the frames {away[name][1]:.4f}")
if away["float 0..255"][0] > 0.005 or away["8 bit"][1] < 0.04:
    raise SystemExit("changed: the 8-bit fusion is no longer what float frames in [0, 255] give")
for name in ("16 bit", "float 0..1"):
    if away[name][0] < 0.04 or away[name][1] > 0.02:
        raise SystemExit(f"changed: the fusion of {name} frames is no longer near their average")
PY
