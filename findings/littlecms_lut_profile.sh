#!/usr/bin/env bash
# One expects: ImageCms applies a table (A2B) profile to 8-bit pixels to within one level, or at least its
# option HIGHRESPRECALC does.
# What happens: where the profile's curve has a flat end (a flare offset, a clipped highlight), LittleCMS
# replaces the exact pipeline by a coarse grid that is evenly spaced in the stored values. Near black the
# error is 0.03 of full scale, HIGHRESPRECALC hardly helps, and NOOPTIMIZE is exact.
# Why it matters: fusion turns the developed shadows of the long frame into radiance, where 0.03 near black
# is more than the signal; black comes out grey, and the frames disagree about the same dark wall.
# Seen with Pillow 13.0.0 (LittleCMS 2.19), 2026-11-28.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check pillow==13.0.0 numpy==2.4.6
cd "$work"
venv/bin/python - <<'PY'
import io
import struct

import numpy as np
from PIL import Image, ImageCms, __version__, features

GRID, ENTRIES, FLARE = 33, 4096, 0.06
TO_XYZ = np.array(  # linear sRGB to XYZ relative to D50
    [[0.43607, 0.38506, 0.14308], [0.22250, 0.71688, 0.06062], [0.01393, 0.09710, 0.71417]]
)


def linear(stored):
    return np.maximum(0, stored - FLARE) / (1 - FLARE)


def fixed(*numbers):
    return b"".join(struct.pack(">i", round(n * 65536)) for n in numbers)


def words(numbers, scale):
    return np.round(np.asarray(numbers) * scale).clip(0, 65535).astype(">u2").tobytes()


def scanner_profile():
    """ICC version 2: per channel the curve above, then a grid that multiplies by TO_XYZ."""
    table = (
        b"mft2\0\0\0\0" + bytes([3, 3, GRID, 0]) + fixed(*np.eye(3).ravel()) + struct.pack(">HH", ENTRIES, 2)
    )
    table += words(linear(np.linspace(0, 1, ENTRIES)), 65535) * 3
    nodes = np.stack(np.meshgrid(*[np.linspace(0, 1, GRID)] * 3, indexing="ij"), axis=-1)
    table += words(nodes @ TO_XYZ.T, 32768) + words([0, 1], 65535) * 3
    title = b"example\0"
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(title)) + title + bytes(78),
        b"cprt": b"text\0\0\0\0none\0",
        b"wtpt": b"XYZ \0\0\0\0" + fixed(0.9642, 1, 0.8249),
        b"A2B0": table,
    }
    directory, body, start = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for name, data in tags.items():
        directory += name + struct.pack(">II", start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    head = struct.pack(">I4xI", start + len(body), 0x02400000) + b"scnrRGB XYZ "
    head += struct.pack(">6H", 2026, 11, 28, 0, 0, 0) + b"acsp" + bytes(28) + fixed(0.9642, 1, 0.8249)
    return head.ljust(128, b"\0") + directory + body


print("Pillow", __version__, "LittleCMS", features.version("littlecms2"))
ramp = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 256, 3)
light = linear(np.arange(256) / 255)
right = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
source = ImageCms.getOpenProfile(io.BytesIO(scanner_profile()))
target = ImageCms.createProfile("sRGB")
errors = {}
for name, flags in (
    ("default", ImageCms.Flags.NONE),
    ("HIGHRESPRECALC", ImageCms.Flags.HIGHRESPRECALC),
    ("NOOPTIMIZE", ImageCms.Flags.NOOPTIMIZE),
):
    intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
    transform = ImageCms.buildTransform(source, target, "RGB", "RGB", intent, flags)
    got = np.asarray(ImageCms.applyTransform(Image.fromarray(ramp), transform))[0, :, 0] / 255
    at = int(np.abs(got - right).argmax())
    errors[name] = abs(got[at] - right[at])
    print(f"{name:14}: largest error {errors[name]:.4f}, at level {at}: {got[at]:.4f} for {right[at]:.4f}")
if not (errors["default"] > 0.025 and errors["HIGHRESPRECALC"] > 0.02 and errors["NOOPTIMIZE"] < 0.004):
    raise SystemExit("changed: the errors of the three ways are no longer as described")
PY
