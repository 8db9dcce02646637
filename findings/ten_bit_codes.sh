#!/usr/bin/env bash
# One expects: decoders of 10-bit pictures that return uint16 use its range, or all use the same scale.
# What happens: three scales for one white. imagecodecs (JPEG XL, AVIF) and OpenCV (AVIF) return codes
# 0..1023 in uint16 without naming the depth; pillow-heif shifts them by six bits, so white is 65472 and
# never 65535; Pillow returns 8 bits.
# Why it matters: divided by 65535, the first is 64 times too small and nothing is ever saturated; in the
# second clipped highlights are missed by an exact test for the largest value. Remedy: take the depth from
# the file itself.
# Seen with imagecodecs 2026.3.6, opencv-python-headless 5.0.0.93, pillow-heif 1.8.1, Pillow 13.0.0,
# 2026-11-28.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    imagecodecs==2026.3.6 opencv-python-headless==5.0.0.93 pillow-heif==1.8.1 pillow==13.0.0 numpy==2.4.6
cd "$work"
venv/bin/python - <<'PY'
import io

import cv2
import imagecodecs
import numpy as np
import PIL
import pillow_heif
from PIL import Image

codes = np.full((64, 64, 3), 1023, np.uint16)  # white on the right, half of it on the left
codes[:, :32] = 512
jxl = imagecodecs.jpegxl_encode(codes, lossless=True, bitspersample=10)
avif = imagecodecs.avif_encode(codes, level=100, bitspersample=10)
buffer = io.BytesIO()
shifted = pillow_heif.from_bytes("RGB;16", (64, 64), (codes << 6).tobytes())
shifted.save(buffer, quality=-1, chroma=444, matrix_coefficients=0)
heif = pillow_heif.open_heif(buffer.getvalue(), convert_hdr_to_8bit=False)
assert heif.info["bit_depth"] == 10

print("imagecodecs", imagecodecs.__version__, "OpenCV", cv2.__version__)
print("pillow-heif", pillow_heif.__version__, "Pillow", PIL.__version__)
decoded = {
    "imagecodecs JPEG XL": (imagecodecs.jpegxl_decode(jxl), 1023),
    "imagecodecs AVIF": (imagecodecs.avif_decode(avif), 1023),
    "OpenCV AVIF": (cv2.imdecode(np.frombuffer(avif, np.uint8), cv2.IMREAD_UNCHANGED), 1023),
    "pillow-heif HEIF": (np.asarray(heif), 1023 << 6),
    "Pillow AVIF": (np.asarray(Image.open(io.BytesIO(avif))), 255),
}
for name, (image, _) in decoded.items():
    print(f"{name:20}: {image.dtype}, left {image[32, 8, 0]}, white {image[32, 56, 0]}")
for name, (image, white) in decoded.items():
    if image[32, 56, 0] != white or image.dtype != (np.uint8 if white == 255 else np.uint16):
        raise SystemExit(f"changed: {name} no longer gives {white} for white")
PY
