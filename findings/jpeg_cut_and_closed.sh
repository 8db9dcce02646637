#!/usr/bin/env bash
# One expects: a JPEG that lost half of its data is refused, at least by Pillow, which refuses cut files
# ("image file is truncated") by default.
# What happens: Pillow's check is about the end of the file. When the two bytes of an end marker follow the
# cut, Pillow, OpenCV and imagecodecs all return a full-size picture whose lower part is flat grey, and
# raise nothing; libjpeg's own warning is a line on stderr at most.
# Why it matters: a flat grey area is well exposed, so fusion gives it the highest weight, or takes it for
# an object that moved. Remedy: a decoder that counts libjpeg's warnings.
# Seen with Pillow 13.0.0, opencv-python-headless 5.0.0.93, imagecodecs 2026.3.6, 2026-11-28.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    pillow==13.0.0 opencv-python-headless==5.0.0.93 imagecodecs==2026.3.6 numpy==2.4.6
cd "$work"
venv/bin/python - <<'PY'
import io

import cv2
import imagecodecs
import numpy as np
import PIL
from PIL import Image

y, x = np.mgrid[:256, :256]
picture = np.stack([x, y, (x + y) // 2], axis=-1).astype(np.uint8)
buffer = io.BytesIO()
Image.fromarray(picture).save(buffer, "JPEG", quality=90)
cut = buffer.getvalue()[: len(buffer.getvalue()) // 2]
closed = cut + b"\xff\xd9"
print("Pillow", PIL.__version__, "OpenCV", cv2.__version__, "imagecodecs", imagecodecs.__version__)
try:
    np.asarray(Image.open(io.BytesIO(cut)))
    raise SystemExit("changed: Pillow accepts a cut file without an end marker")
except OSError as error:
    print("cut, not closed: Pillow:", error)
decoders = {
    "Pillow": lambda data: np.asarray(Image.open(io.BytesIO(data))),
    "OpenCV": lambda data: cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1],
    "imagecodecs": imagecodecs.jpeg_decode,
}
for name, decode in decoders.items():
    try:
        image = decode(closed)
    except Exception as error:
        raise SystemExit(f"changed: {name} now refuses: {error}") from error
    flat = image[-64:].reshape(-1, 3)
    print(
        f"cut and closed: {name}: shape {image.shape}, lowest quarter all {np.unique(flat, axis=0).tolist()}"
    )
    if image.shape != picture.shape or flat.std() > 0:
        raise SystemExit(f"changed: {name} no longer fills the lost part with one grey")
PY
