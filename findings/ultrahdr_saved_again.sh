#!/usr/bin/env bash
# One expects: Pillow opens an Ultra HDR JPEG (it reports two pictures, format MPO), and saving all of them
# as MPO keeps the HDR.
# What happens: saved as JPEG, the gain map is gone; saved as MPO with save_all, both pictures are there,
# but what says how to combine them is not, so the decoder no longer takes it for HDR. Nothing is raised
# either way.
# Why it matters: a resize, a rotation or a recompression in a data pipeline turns HDR references into SDR
# ones of the same look, and a metric against them then rewards results that are clipped.
# Seen with Pillow 13.0.0, imagecodecs 2026.3.6, 2026-11-28.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    pillow==13.0.0 imagecodecs==2026.3.6 numpy==2.4.6
cd "$work"
venv/bin/python - <<'PY'
import io

import imagecodecs
import numpy as np
import PIL
from PIL import Image

ramp = np.linspace(0, 4, 128, dtype=np.float16)[None, :, None].repeat(128, 0).repeat(4, 2)
ramp[..., 3] = 1
original = imagecodecs.ultrahdr_encode(np.ascontiguousarray(ramp))


def saved(form, **options):
    image, buffer = Image.open(io.BytesIO(original)), io.BytesIO()
    image.save(buffer, form, quality=95, **options)
    return buffer.getvalue()


print("Pillow", PIL.__version__, "imagecodecs", imagecodecs.__version__)
opened = Image.open(io.BytesIO(original))
print(
    "original:", opened.format, opened.n_frames, "pictures, peak", imagecodecs.ultrahdr_decode(original).max()
)
if opened.n_frames != 2 or imagecodecs.ultrahdr_decode(original).max() < 3.5:
    raise SystemExit("changed: the original no longer has two pictures and a peak near 4")
for name, data in (("JPEG", saved("JPEG")), ("MPO, save_all", saved("MPO", save_all=True))):
    again = Image.open(io.BytesIO(data))
    count = getattr(again, "n_frames", 1)
    try:
        peak = imagecodecs.ultrahdr_decode(data).max()
    except imagecodecs.UltrahdrError as error:
        print(f"saved as {name}: {count} picture(s), decoder: {error}")
    else:
        raise SystemExit(f"changed: saved as {name} it is still HDR, with peak {peak}")
    if count != (1 if name == "JPEG" else 2):
        raise SystemExit(f"changed: saved as {name} it has {count} picture(s)")
PY
