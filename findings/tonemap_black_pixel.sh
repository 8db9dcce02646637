#!/usr/bin/env bash
# One expects: OpenCV's tone mappers give a displayable image for any finite radiance that is positive.
# What happens: all of them first subtract the smallest sample and divide by the range. If the darkest pixel
# is neutral, it becomes exactly black, and Drago, Reinhard and Mantiuk then return NaN there. One bright
# pixel likewise darkens everything: createTonemap(1.0), a gamma of one, is not the identity.
# Why it matters: a fused photograph with a black border or a clipped shadow shows NaN as black or white
# speckles and makes each metric of the preview NaN; and metrics on tone-mapped pairs compare two different
# scales.
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

y, x = np.mgrid[:48, :64].astype(np.float32)
radiance = (np.stack([x + y, x + y, x + y], axis=-1) + 8) / 128  # grey, all of it well above zero
lamp = radiance.copy()
lamp[0, 0] = 500
makers = {
    "Drago": cv2.createTonemapDrago,
    "Reinhard": cv2.createTonemapReinhard,
    "Mantiuk": cv2.createTonemapMantiuk,
}
print("OpenCV", cv2.__version__, "radiance from", radiance.min(), "to", radiance.max())
for name, make in makers.items():
    bad = np.isnan(make().process(radiance)).any(axis=-1)
    print(f"{name}: NaN in {bad.sum()} pixel(s), at", np.argwhere(bad).tolist())
    if bad.sum() != 1 or not bad[0, 0]:
        raise SystemExit(f"changed: {name} no longer returns NaN for the darkest pixel alone")
identity = cv2.createTonemap(1.0)
before, after, beside_lamp = (
    float(np.median(image)) for image in (radiance, identity.process(radiance), identity.process(lamp))
)
print(f"median: {before:.3f}, by createTonemap(1.0) {after:.3f}, and with one lamp pixel {beside_lamp:.6f}")
if not (after > 0.3 and beside_lamp < 0.002):
    raise SystemExit("changed: one bright pixel no longer darkens the rest")
PY
