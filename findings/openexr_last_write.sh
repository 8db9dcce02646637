#!/usr/bin/env bash
# One expects: OpenEXR.File.write raises where the disk is full, as it does for large files.
# What happens: bytes that stay in the stream's buffer are written as the file is closed, and the error of that
# write is dropped. A file of a few kilobytes, or the last few of a large one, is cut off and nothing is said;
# reading it fails later.
# Why it matters: who writes beside the old file and then moves the new one over it replaces a good file by a
# torn one. Remedy: after writing, compare the file's size with the end of the last chunk in its offset table.
# A limit on the size of files stands for the full disk here.
# Seen with OpenEXR 3.5.3, 2026-11-29.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check OpenEXR==3.5.3 numpy==2.4.6
cd "$work"
venv/bin/python - <<'PY'
import os
import resource
import signal

import numpy as np
import OpenEXR

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # writes beyond the limit fail with EFBIG
rng = np.random.default_rng(0)
header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}  # the library adds the size to it
smooth = np.kron(rng.random((4, 5, 3)), np.ones((16, 16, 1))).astype(np.float16)
rough = rng.random((256, 320, 3)).astype(np.float16)


def written(image, share):
    """Size of the whole file, size of what is left under a limit, and whether an error was raised."""
    OpenEXR.File(dict(header), {"RGB": image}).write("whole.exr")
    size = os.path.getsize("whole.exr")
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(share * size), resource.RLIM_INFINITY))
    try:
        OpenEXR.File(dict(header), {"RGB": image}).write("limited.exr")
        raised = False
    except RuntimeError:
        raised = True
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    return size, os.path.getsize("limited.exr"), raised


lines, cut = [], {}
for name, image, share in (("small", smooth, 0.9), ("large", rough, 0.5)):
    size, left, raised = written(image, share)
    cut[name] = left < size and raised
    lines.append(f"{name}: {left} of {size} bytes written, {'an error' if raised else 'no error'}")
print(f"OpenEXR {OpenEXR.__version__}", *lines, sep="\n")
if cut["small"] or not cut["large"]:
    raise SystemExit("changed: the small file's missing end is an error now, or the large one's is none")
PY
