#!/usr/bin/env bash
# One expects: registration with masks for what is black or saturated (Padfield 2012) finds that two exposures of one
# view from a tripod are not shifted, and says zero where smooth light tells nothing, as registration without masks does.
# What happens: a sky that gets brighter towards one side, exposed two stops apart, is found shifted by 49 of 128
# pixels; without masks, and with masks and some texture, by none. Of a smooth slope every shift correlates as well
# as none, and the one with the smallest overlap that is allowed wins.
# Why it matters: masks are what one reaches for where exposures saturate, and a sky or a wall at dusk is all that two
# frames may share. A shift that is none pairs the wrong places, so that a tone curve measured on them is wrong, too.
# Remedy: correlate what is left beside a plane through the surroundings, and demand that a shift is better than none
# by more than the overlapping pixels can tell by chance.
# Seen with scikit-image 0.26.0, 2026-11-30.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check scikit-image==0.26.0 numpy==2.4.6
cd "$work"
venv/bin/python - <<'PY'
import numpy as np
import skimage
from skimage.registration import phase_cross_correlation

height, width = 96, 128
y, x = np.mgrid[0:height, 0:width] / np.array([height - 1, width - 1])[:, None, None]
sky = 2.0 ** (5 * x - 5.5) * (0.4 + 0.6 * y)
texture = np.exp(0.1 * np.random.default_rng(0).standard_normal(sky.shape))
print("scikit-image", skimage.__version__)
found = {}
for name, light in (("sky", sky), ("sky with texture", sky * texture)):
    short, long = (np.rint(np.clip(light * gain, 0, 1) ** (1 / 2.2) * 255) for gain in (4, 16))
    masks = {f"{side}_mask": (v > 5) & (v < 250) for side, v in (("reference", short), ("moving", long))}
    for how, options in (("without masks", {}), ("with masks", {**masks, "overlap_ratio": 0.3})):
        shift = phase_cross_correlation(short, long, **options)[0]
        found[name, how] = shift
        print(f"{name:16} {how:13}: found shifted by {shift.tolist()}, is [0, 0]")
if np.abs(found["sky", "with masks"]).max() < 20:
    raise SystemExit("changed: masked registration of a smooth sky no longer finds a large shift")
for case in (("sky", "without masks"), ("sky with texture", "without masks"), ("sky with texture", "with masks")):
    if found[case].any():
        raise SystemExit(f"changed: {' '.join(case)} is now found shifted")
PY
