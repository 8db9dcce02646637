#!/usr/bin/env bash
# One expects: OpenEXR.File writes the array it is given, or refuses a layout that it cannot write.
# What happens: strides are ignored. A crop, every second pixel, a colour order swapped with a negative step
# or a tensor's (3, H, W) viewed as (H, W, 3) is stored as whatever lies in memory from its first element
# on: right size, wrong pixels, no error.
# Why it matters: results of networks are channel-first, those of OpenCV are BGR, and crops are views; the
# radiance file, the only lossless result, is then scrambled while the preview is right. Remedy:
# numpy.ascontiguousarray before writing.
# Reported upstream as openexr issue 1929. Seen with OpenEXR 3.5.3, numpy 2.4.6, 2026-11-28.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check OpenEXR==3.5.3 numpy==2.4.6
cd "$work"
venv/bin/python - <<'PY'
import numpy as np
import OpenEXR


def stored(image):
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File(header, {"RGB": image}).write("x.exr")
    return OpenEXR.File("x.exr").channels()["RGB"].pixels


whole = np.random.default_rng(0).random((80, 120, 3)).astype(np.float32)
planes = np.ascontiguousarray(whole.transpose(2, 0, 1))
views = {
    "contiguous": whole,
    "crop": whole[8:40, 8:60],
    "every second pixel": whole[::2, ::2],
    "channel-first, transposed": planes.transpose(1, 2, 0),
    "BGR to RGB": whole[:40, :, ::-1],
}
print("OpenEXR", OpenEXR.__version__, "numpy", np.__version__)
for name, view in views.items():
    got = stored(view)
    wrong = (got != view).mean()
    print(f"{name:26}: shape kept {got.shape == view.shape}, wrong samples {100 * wrong:.0f} %")
    if got.shape != view.shape or (wrong > 0.5) != (name != "contiguous"):
        raise SystemExit(f"changed: {name} is stored otherwise")
    if not np.array_equal(stored(np.ascontiguousarray(view)), view):
        raise SystemExit(f"changed: a contiguous copy of {name} is not stored exactly")
PY
