#!/usr/bin/env bash
# One expects: an Ultra HDR JPEG (gain map) made from float16 linear radiance keeps it up to the lossy
# coding, or the encoder refuses what it cannot keep.
# What happens: 1.0 means SDR white, 203 cd/m2, and everything above 10000 / 203 = 49.3 is clipped to it in
# silence. The float16 range goes to 65504.
# Why it matters: fused radiance is relative, with lamps at hundreds of times white; the file looks right on
# a display, but the highlights that were the reason for the bracket are flat. Remedy: scale to SDR white
# first, and never use it as the archive of the radiance.
# The encoder's argument `nits` does not move the ceiling. Seen with imagecodecs 2026.3.6, 2026-11-28.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check imagecodecs==2026.3.6 numpy==2.4.6
cd "$work"
venv/bin/python - <<'PY'
import imagecodecs
import numpy as np

print("imagecodecs", imagecodecs.__version__, imagecodecs.ultrahdr_version())


def round_trip(image, **options):
    return imagecodecs.ultrahdr_decode(imagecodecs.ultrahdr_encode(image, **options)).astype(np.float32)


seen = {}
for peak in (1, 4, 40, 100, 1000, 10000):
    image = np.full((64, 64, 4), peak, np.float16)
    image[:32, :, :3] = peak / 8
    image[..., 3] = 1
    back = round_trip(image)
    seen[peak] = (float(back[0, 0, 1]), float(back[-1, -1, 1]))
    print(f"in {peak / 8:8.3f} and {peak:6}: out {seen[peak][0]:8.3f} and {seen[peak][1]:8.3f}")
for peak in (1, 4, 40):
    if abs(seen[peak][1] / peak - 1) > 0.03:
        raise SystemExit(f"changed: {peak} is no longer kept within 3 %")
for peak in (100, 1000, 10000):
    if abs(seen[peak][1] / (10000 / 203) - 1) > 0.01:
        raise SystemExit(f"changed: {peak} is no longer clipped to 10000 / 203")
brightest = round_trip(image, nits=100_000)[..., :3].max()
print(f"in {peak} with nits=100000: out {brightest:.3f}")
if abs(brightest / (10000 / 203) - 1) > 0.01:
    raise SystemExit("changed: nits now moves the ceiling")
PY
