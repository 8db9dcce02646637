#!/usr/bin/env bash
# One expects: LibRaw maps black to 0 and white to full scale, whatever the DNG holds.
# What happens: in a linear DNG (three samples a pixel, as phones and denoisers write) the black level is
# subtracted but the white level is not lowered by it, so everything is too dark by black / white. The same
# numbers in a mosaic DNG come out right.
# Why it matters: white never reaches full scale, so nothing counts as saturated; a bracket that mixes
# linear and mosaic frames is off by that factor. Remedy: user_sat = white - black.
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

BLACK, WHITE, SIGNAL = 2048, 62000, 10000
MATRIX = (1, 1, 0, 1, 0, 1, 0, 1, 1, 1, 0, 1, 0, 1, 0, 1, 1, 1)  # XYZ to camera: the identity, as fractions


def develop(mosaic, **options):
    samples = 1 if mosaic else 3
    tags = [
        (50706, "B", 4, (1, 4, 0, 0), True),  # DNGVersion
        (50708, "s", 0, "Example", True),  # UniqueCameraModel
        (50721, "2i", 9, MATRIX, True),  # ColorMatrix1
        (50728, "2I", 3, (1,) * 6, True),  # AsShotNeutral
        (50714, "H", samples, (BLACK,) * samples, True),  # BlackLevel
        (50717, "I", samples, (WHITE,) * samples, True),  # WhiteLevel
    ]
    if mosaic:
        tags += [(33421, "H", 2, (2, 2), True), (33422, "B", 4, (0, 1, 1, 2), True)]  # CFA: RG GB
    shape = (64, 64) if mosaic else (64, 64, 3)
    pixels = np.full(shape, BLACK + SIGNAL, np.uint16)
    tifffile.imwrite("x.dng", pixels, photometric=32803 if mosaic else 34892, extratags=tags, metadata=None)
    with rawpy.imread("x.dng") as raw:
        linear = dict(gamma=(1, 1), no_auto_bright=True, output_bps=16, output_color=rawpy.ColorSpace.raw)
        return raw.postprocess(**linear, use_camera_wb=True, adjust_maximum_thr=0.0, **options).mean() / 65535


print("rawpy", rawpy.__version__, "LibRaw", rawpy.libraw_version)
right = SIGNAL / (WHITE - BLACK)
mosaic, linear, remedied = develop(True), develop(False), develop(False, user_sat=WHITE - BLACK)
print(f"right {right:.4f}, mosaic {mosaic:.4f}, linear {linear:.4f}, linear with user_sat {remedied:.4f}")
print(
    f"the linear DNG is {100 * (1 - linear / right):.1f} % too dark; "
    f"black / white is {100 * BLACK / WHITE:.1f} %"
)
close = [abs(x / right - 1) < 1e-3 for x in (mosaic, remedied, linear / (1 - BLACK / WHITE))]
if not all(close):
    raise SystemExit("changed: the linear DNG is no longer darker by exactly black / white")
PY
