#!/usr/bin/env bash
# One expects: highlight_mode changes clipped areas only, and the white balance gains are applied as given.
# What happens: gains are divided by the smallest one under Clip and by the largest one under every other
# mode. The mid tones of a frame thus get darker by largest / smallest gain when another mode is chosen, and
# a common factor in user_wb is lost. A smallest gain that is not green's shifts green as well.
# Why it matters: a bracket developed with Blend or Reconstruct for the long frame alone, or with each
# frame's own camera white balance, is off by a factor of two and more between frames, although "linear".
# Remedy: the same highlight_mode and the same user_wb for all frames.
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
    (50717, "I", 1, 10000, True),  # WhiteLevel
    (33421, "H", 2, (2, 2), True),  # CFARepeatPatternDim
    (33422, "B", 4, (0, 1, 1, 2), True),  # CFAPattern: RG GB
]
# A tenth of white everywhere: nothing is near clipping.
tifffile.imwrite(
    "x.dng", np.full((64, 64), 1000, np.uint16), photometric=32803, extratags=TAGS, metadata=None
)


def develop(gains, mode):
    with rawpy.imread("x.dng") as raw:
        linear = dict(gamma=(1, 1), no_auto_bright=True, output_bps=16, output_color=rawpy.ColorSpace.raw)
        image = raw.postprocess(**linear, user_wb=list(gains), highlight_mode=mode, adjust_maximum_thr=0.0)
    return (image[32, 32] / 6553.5).round(3).tolist()


print("rawpy", rawpy.__version__, "LibRaw", rawpy.libraw_version)
modes = rawpy.HighlightMode
seen = {}
for gains in ((2, 1, 1.5, 1), (4, 2, 3, 2), (0.6, 1, 1.5, 1)):
    for name in ("Clip", "Ignore", "Blend"):
        seen[gains, name] = develop(gains, getattr(modes, name))
        print(
            f"gains {gains}, {name:6}: R, G, B of a grey wall became {seen[gains, name]} times the raw value"
        )
expected = {
    ((2, 1, 1.5, 1), "Clip"): [2, 1, 1.5],
    ((2, 1, 1.5, 1), "Blend"): [1, 0.5, 0.75],
    ((4, 2, 3, 2), "Clip"): [2, 1, 1.5],
    ((0.6, 1, 1.5, 1), "Clip"): [1, 1 / 0.6, 2.5],
}
for key, value in expected.items():
    if not np.allclose(seen[key], value, atol=0.005):
        raise SystemExit(f"changed: {key} now gives {seen[key]}")
PY
