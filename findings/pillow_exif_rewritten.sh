#!/usr/bin/env bash
# One expects: EXIF that Pillow reads and is given back at save is in the new file as it was.
# What happens: saved as TIFF, an Exif object loses all but the first directory (exposure time, ISO, date
# of capture, place); its bytes do not. And where Pillow writes entries anew, it chooses their types by their
# values: the shutter speed and the exposure bias become unsigned, the user comment a list of numbers. libtiff
# then warns of a wrong data type and leaves the entry out.
# Why it matters: a bracket whose frames went through such a step has no exposures any more, and nothing is
# raised. Remedy: hand over bytes, and write the directories with the standard's types.
# Seen with Pillow 13.0.0, 2026-11-28.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check pillow==13.0.0
cd "$work"
venv/bin/python - <<'PY'
import io
import struct

import PIL
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

EXIF, TIME, SPEED, BIAS, COMMENT = 0x8769, 0x829A, 0x9201, 0x9204, 0x9286
SRATIONAL, UNDEFINED = 10, 7
exif = Image.Exif()
exif.get_ifd(EXIF).update({TIME: IFDRational(1, 400)})


def fields(**options):
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "TIFF", **options)
    return dict(Image.open(buffer).getexif().get_ifd(EXIF))


print("Pillow", PIL.__version__)
by_object, by_bytes = fields(exif=exif), fields(exif=exif.tobytes())
print("TIFF, exif=Exif object:", by_object, "\nTIFF, exif=bytes:      ", by_bytes)
if by_object:
    raise SystemExit("changed: the exposure block of an Exif object is kept in a TIFF")
if by_bytes != {TIME: 0.0025}:
    raise SystemExit("changed: bytes are not kept either")

# EXIF with the standard's types, by hand: three entries in the directory below the first.
rational = struct.pack("<ii", 8643856, 1000000)
place = 8 + 18 + 2 + 3 * 12 + 4
entries = struct.pack("<HHII", SPEED, SRATIONAL, 1, place) + struct.pack("<HHII", BIAS, SRATIONAL, 1, place)
entries += struct.pack("<HHI4s", COMMENT, UNDEFINED, 4, b"word")
block = b"II*\0" + struct.pack("<IHHHIII", 8, 1, EXIF, 4, 1, 26, 0)
block += struct.pack("<H", 3) + entries + struct.pack("<I", 0) + rational
read = Image.Exif()
read.load(b"Exif\0\0" + block)
print("read:", dict(read.get_ifd(EXIF)))
again = read.tobytes()
types = {}
for tag in (SPEED, BIAS, COMMENT):
    at = again.index(struct.pack("<H" if again[6:8] == b"II" else ">H", tag))
    types[tag] = struct.unpack_from("<H" if again[6:8] == b"II" else ">H", again, at + 2)[0]
    print(f"entry {tag:#x}: type {SRATIONAL if tag != COMMENT else UNDEFINED}, written as {types[tag]}")
if (types[SPEED], types[COMMENT]) == (SRATIONAL, UNDEFINED):
    raise SystemExit("changed: the types are kept")
PY
