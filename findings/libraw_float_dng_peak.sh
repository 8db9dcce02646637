#!/usr/bin/env bash
# One expects: a float DNG is scaled by its white level (1.0), as integer DNGs are by theirs.
# What happens: as soon as one pixel is above 1, LibRaw divides the whole frame by its brightest pixel, and
# rawpy reports white_level 16383 in each case, so the factor is not to be had from it.
# Why it matters: merged and stacked photographs are stored as float DNG because they go beyond white. Two
# of them, two stops apart, come out equally bright, so a bracket of them merges to nonsense.
# Seen with rawpy 0.28.0 (LibRaw 0.22.2), 2026-11-28.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check rawpy==0.28.0 tifffile==2026.3.3 numpy==2.4.6
cd "$work"
venv/bin/python - <<'PY'
import numpy as np
import rawpy
import tifffile

MATRIX = (1, 1, 0, 1, 0, 1, 0, 1, 1, 1, 0, 1, 0, 1, 0, 1, 1, 1)  # XYZ to camera: the identity, as fractions
TAGS = [
    (50706, "B", 4, (1, 4, 0, 0), True),  # DNGVersion
    (50708, "s", 0, "Example", True),  # UniqueCameraModel
    (50721, "2i", 9, MATRIX, True),  # ColorMatrix1
    (50728, "2I", 3, (1,) * 6, True),  # AsShotNeutral
    (50717, "I", 3, (1, 1, 1), True),  # WhiteLevel
]


def wall(exposure):
    """Developed value of a wall of radiance 0.1 beside a lamp of radiance 1.5."""
    scene = np.full((64, 64, 3), 0.1, np.float32)
    scene[:8, :8] = 1.5
    tifffile.imwrite("x.dng", scene * np.float32(exposure), photometric=34892, extratags=TAGS, metadata=None)
    with rawpy.imread("x.dng") as raw:
        linear = dict(gamma=(1, 1), no_auto_bright=True, output_bps=16, output_color=rawpy.ColorSpace.raw)
        image = raw.postprocess(**linear, use_camera_wb=True, adjust_maximum_thr=0.0)
        return image[40:, 40:].mean() / 65535, raw.white_level


print("rawpy", rawpy.__version__, "LibRaw", rawpy.libraw_version)
values = {exposure: wall(exposure) for exposure in (0.5, 1, 4)}
for exposure, (value, white) in values.items():
    print(f"exposure {exposure}: wall should be {0.1 * exposure:.4f}, is {value:.4f}; white_level {white}")
if abs(values[0.5][0] / 0.05 - 1) > 0.01:
    raise SystemExit("changed: a float DNG that stays below white is no longer scaled by white")
if abs(values[4][0] / values[1][0] - 1) > 0.01 or abs(values[1][0] * 1.5 / 0.1 - 1) > 0.01:
    raise SystemExit("changed: float DNGs beyond white are no longer divided by their own peak")
PY
