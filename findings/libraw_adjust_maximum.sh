#!/usr/bin/env bash
# One expects: with gamma=(1, 1) and no_auto_bright=True the frames of a bracket come out on one linear
# scale.
# What happens: LibRaw still looks at the brightest pixel of each frame. Where it lies between 75 % of the
# white level and the white level, it becomes the new white, and the whole frame gets up to 33 % brighter.
# Frames that are darker or that clip keep their scale, so only some frames of a bracket change.
# Why it matters: an error of up to 0.4 stop between frames looks like a wrong exposure time, and deghosting
# then takes still areas for moving ones. Remedy: adjust_maximum_thr=0.
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

BLACK, WHITE = 512, 16383
MATRIX = (1, 1, 0, 1, 0, 1, 0, 1, 1, 1, 0, 1, 0, 1, 0, 1, 1, 1)  # XYZ to camera: the identity, as fractions
TAGS = [
    (50706, "B", 4, (1, 4, 0, 0), True),  # DNGVersion
    (50708, "s", 0, "Example", True),  # UniqueCameraModel
    (50721, "2i", 9, MATRIX, True),  # ColorMatrix1
    (50728, "2I", 3, (1,) * 6, True),  # AsShotNeutral
    (50714, "H", 1, BLACK, True),  # BlackLevel
    (50717, "I", 1, WHITE, True),  # WhiteLevel
    (33421, "H", 2, (2, 2), True),  # CFARepeatPatternDim
    (33422, "B", 4, (0, 1, 1, 2), True),  # CFAPattern: RG GB
]


def developed_per_exposure(exposure, **options):
    """Value of a wall of radiance 0.1 beside a lamp of radiance 1, divided by the exposure."""
    scene = np.full((64, 64), 0.1)
    scene[:8, :8] = 1
    counts = BLACK + np.minimum(scene * exposure, 1) * (WHITE - BLACK)
    tifffile.imwrite("x.dng", counts.astype(np.uint16), photometric=32803, extratags=TAGS, metadata=None)
    with rawpy.imread("x.dng") as raw:
        linear = dict(gamma=(1, 1), no_auto_bright=True, output_bps=16, output_color=rawpy.ColorSpace.raw)
        image = raw.postprocess(**linear, use_camera_wb=True, **options)
    return image[40:, 40:].mean() / 65535 / exposure


print("rawpy", rawpy.__version__, "LibRaw", rawpy.libraw_version)
exposures = (0.4, 0.8, 1.6)
default = [developed_per_exposure(e) for e in exposures]
fixed = [developed_per_exposure(e, adjust_maximum_thr=0.0) for e in exposures]
for exposure, a, b in zip(exposures, default, fixed, strict=True):
    print(f"exposure {exposure}: radiance of the wall {a:.4f} by default, {b:.4f} with adjust_maximum_thr=0")
if not (default[1] / default[0] > 1.2 and abs(default[2] / default[0] - 1) < 0.01):
    raise SystemExit("changed: the middle frame is no longer scaled by its own brightest pixel")
if max(fixed) / min(fixed) > 1.01:
    raise SystemExit("changed: adjust_maximum_thr=0 no longer keeps the scale")
PY
